"""The schema `reporting`, as a dashboard's author finds it."""

from app.storage.connection import Connection


def test_every_view_and_column_has_a_comment(connection: Connection) -> None:
    described = """
        SELECT concat_ws('.', relname, attname) AS name, col_description(view.oid, attnum) AS comment
        FROM pg_class AS view JOIN pg_attribute ON attrelid = view.oid AND attnum > 0
        WHERE relnamespace = 'reporting'::regnamespace
        UNION ALL
        SELECT relname, obj_description(oid, 'pg_class') FROM pg_class WHERE relnamespace = 'reporting'::regnamespace
    """
    comments = {row.name: row.comment for row in connection.execute(described)}
    assert {"deliveries", "deliveries.receipt"} <= comments.keys()
    assert [name for name, comment in comments.items() if not comment] == []
