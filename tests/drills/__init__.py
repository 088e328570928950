"""Drills: real runs are killed, damaged and starved, and must recover."""
