"""Renderers of a leaderboard table, one file each."""
