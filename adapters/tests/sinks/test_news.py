from __future__ import annotations

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.sinks._news import News


def updates(news: News, *, only_since_hold: bool = False) -> dict[str, int]:
    return {key: number for key, _, number in news.take(only_since_hold=only_since_hold)}


def test_what_was_there_at_the_beginning_is_no_news() -> None:
    hub = MessageHub("news")
    hub.update_scalar("old", 1.0)
    news = News(hub)
    assert updates(news) == {}
    hub.update_scalars({"old": 2.0, "new": 1.0})
    hub.update_scalar("new", 2.0)
    assert updates(news) == {"old": 1, "new": 2}
    assert updates(news) == {}


def test_what_is_held_stays_news_unless_it_comes_again() -> None:
    hub = MessageHub("news")
    news = News(hub)
    hub.update_scalars({"loss": 1.0, "grad": 1.0})
    news.hold()
    assert updates(news, only_since_hold=True) == {}
    hub.update_scalars({"acc": 1.0, "grad": 2.0})
    assert updates(news, only_since_hold=True) == {"acc": 1, "grad": 1}
    hub.update_scalar("loss", 2.0)
    assert updates(news) == {"loss": 2}


def test_a_scalar_that_was_taken_away_and_came_back_is_news() -> None:
    hub = MessageHub("news")
    hub.update_scalar("acc", 1.0)
    news = News(hub)
    hub.pop_scalar("acc")
    assert updates(news) == {}
    hub.update_scalar("acc", 1.0)
    assert updates(news) == {"acc": 1}


def test_a_checkpoint_is_no_news_and_what_was_published_before_it_is() -> None:
    saved = MessageHub("saved")
    saved.update_scalars({"loss": 1.0, "other": 1.0})
    hub = MessageHub("news")
    news = News(hub)
    hub.update_scalar("mine", 1.0)
    hub.load_state_dict(saved.state_dict())
    news.skip_loaded()
    hub.update_scalar("loss", 2.0)
    assert updates(news) == {"mine": 1, "loss": 1}
