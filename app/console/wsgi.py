"""The console as a WSGI server loads it: `granian --interface wsgi app.console.wsgi:app`."""

import config.logging
from app import metrics
from app.console.app import create_app
from app.console.ledger_reader import LedgerReader
from app.console.problem_finder import ProblemFinder
from app.console.problem_watch import ProblemWatch
from config.secret_files import Rereading
from config.settings import ConsoleSettings

config.logging.configure()
metrics.share()
settings = Rereading(ConsoleSettings.read, report=metrics.report_secret)
metrics.secret_series(settings.files)
ledger = LedgerReader(settings.value.database_url)
finder = ProblemFinder(settings.value)
ProblemWatch(ledger, finder).start()
app = create_app(settings.current, ledger, finder)
