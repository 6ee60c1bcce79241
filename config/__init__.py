"""Settings, checks of settings and servers, and the configuration of Celery, Granian, Redis and logging."""
