"""The console as a WSGI server loads it: `granian --interface wsgi app.console.wsgi:app`."""

import config.logging
from app import metrics
from app.console.app import create_app
from config.settings import ConsoleSettings

config.logging.configure()
metrics.share()
app = create_app(ConsoleSettings.load())
