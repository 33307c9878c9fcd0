"""Ways to start jobs, one file each."""
