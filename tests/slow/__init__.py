"""Whole files of long trainings (`make slow`)."""
