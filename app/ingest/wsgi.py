"""What the WSGI server loads: `granian --interface wsgi app.ingest.wsgi:app`."""

import config.logging
from app.ingest.application import create_app
from app.ingest.interpreter import freeze, take_turns
from app.ingest.stopping import stop_gently
from config.environment import Environment

take_turns()
config.logging.configure()
stop_gently()
app = create_app(Environment.of_process())
freeze()
