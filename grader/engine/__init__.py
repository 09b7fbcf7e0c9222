"""One notebook: rebuilt, run behind walls, judged from outside."""
