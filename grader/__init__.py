"""What builds, hands out and grades the labs; no lab imports it."""
