"""The pages of the menu."""

from typing import NamedTuple

from app.console.access import Right


class Page(NamedTuple):
    """A page of the menu. `key` leads to it after `g`; the page is shown to those with the right."""

    endpoint: str
    title: str
    key: str
    right: Right = "read"


MENU = (
    Page("pages.home", "Overview", "o"),
    Page("pages.delivery_list", "Deliveries", "d"),
    Page("pages.dead_letters", "Dead letters", "l"),
    Page("pages.job_list", "Replays", "r"),
    Page("pages.rejections", "Rejected", "j"),
    Page("pages.providers", "Providers", "p"),
    Page("pages.audit_list", "Audits and losses", "a"),
    Page("pages.drift", "Schema drift", "s"),
    Page("pages.feed", "Feed consumers", "f"),
    Page("pages.log", "Access log", "h", "read-log"),
)
