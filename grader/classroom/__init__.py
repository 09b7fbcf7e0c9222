"""A whole class: submissions found, graded side by side, recorded, and entered in the gradebook."""
