"""The design of most tutorials: Flask under gunicorn, one Celery message per event, a task and a commit each."""
