"""Reads the console's pages as a browser does: its forms, its texts, and the elements that it is made of."""

from html.parser import HTMLParser
from typing import Any

import requests

from tests.harness import Server

VOID = {"meta", "link", "input", "rect", "line", "circle", "path"}


class Page(HTMLParser):
    """`fields` is what a browser would post, by the form's action; `texts` what elements with an id say."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.fields: dict[str, dict[str, str]] = {}
        self.named: dict[str, list[dict[str, str]]] = {}
        self.texts: dict[str, str] = {}
        self.data: dict[str, str] = {}
        self.text = ""
        self._open: list[tuple[str, str]] = []
        self._form = self._select = self._area = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert not [name for name in given if name.startswith("on") or name == "style"], (tag, attrs)
        self.tags.append(tag)
        self.links += [given[name] for name in ("href", "src") if name in given]
        if "id" in given:
            self.texts[given["id"]] = ""
            if tag == "data":
                self.data[given["id"]] = given["value"]
        if "data-class" in given:
            self.data[given["data-class"]] = given["value"]
        self._take_control(tag, given)
        if tag not in VOID:
            self._open.append((tag, given.get("id", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def _take_control(self, tag: str, given: dict[str, str]) -> None:
        if tag == "form":
            self._form = given["action"].rpartition("/")[2]
            self.fields.setdefault(self._form, {})
        if "name" in given and tag in ("input", "select", "textarea"):
            self.named.setdefault(given["name"], []).append(given)
        fields = self.fields.get(self._form, {})
        if tag == "input" and "name" in given:
            box = given.get("type") in ("radio", "checkbox")
            if not box or "checked" in given:
                fields[given["name"]] = given.get("value", "on" if box else "")
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option":
            self.named[self._select].append(given)
            if "selected" in given or self._select not in fields:
                fields[self._select] = given["value"]
        elif tag == "textarea":
            self._area, fields[given["name"]] = given["name"], ""

    def handle_data(self, data: str) -> None:
        self.text += data
        for _, name in self._open:
            if name:
                self.texts[name] += data
        if self._area:
            self.fields[self._form][self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            form = self.fields[self._form]
            form[self._area] = form[self._area].removeprefix("\n")
            self._area = ""
        while self._open and self._open.pop()[0] != tag:
            pass


def read(response: requests.Response, status: int = 200) -> Page:
    assert response.status_code == status, response.text[:2000]
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return Page(response.text)


def opened(server: Server, path: str = "/console/predict") -> Page:
    return read(server.get(path))


def posted(server: Server, form: str, fields: dict[str, str], status: int = 200, **options: Any) -> Page:
    return read(server.post(f"/console/{form}", data=fields, **options), status)
