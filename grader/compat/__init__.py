"""nbgrader's own way of grading, behind walls: its kernels, and whole courses of it."""
