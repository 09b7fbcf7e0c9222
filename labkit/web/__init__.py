"""Models of web systems that labs talk to, on this machine's loopback address."""
