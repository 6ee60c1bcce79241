"""The console as a WSGI server loads it: `granian --interface wsgi app.console.wsgi:app`."""

import config.logging
from app.console.app import create_app
from config.settings import ConsoleSettings

config.logging.configure()
app = create_app(ConsoleSettings.load())
