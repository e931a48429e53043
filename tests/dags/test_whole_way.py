"""From a file that nobody described to a table with its rejected rows corrected, as a person goes, in a real browser.

`init`, a preview, a first run, a second day with a new column and bad rows, and a replay. At each step the page is
looked at on a desk and on a phone, in the light and in the dark.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.dags.conftest import Airflow, keep
from tests.waiting import appeared

pytestmark = [pytest.mark.airflow, pytest.mark.browser]
SECOND = 1000
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# What a German spreadsheet writes, with lines above the table and a line of totals: no comma-separated values at all.
ABOVE = "Warenwirtschaft Müller & Söhne;;;;\nStand: {day}.03.2026;;;;\n\n"
FIRST = ABOVE.format(day="02") + "Artikel-Nr.;Bezeichnung;Preis in €;Gezählt am;Menge\n"
SECOND_DAY = ABOVE.format(day="03") + "Artikel-Nr.;Bezeichnung;Preis in €;Lagerort;Gezählt am;Menge\n"
BELOW = "Summe;;;;{total}\n"


def row(number: int, *place: str, price: str | None = None, day: str = "28.02.2026") -> str:
    """A line of the spreadsheet."""
    price = price or f"1.{number:03d},{number % 100:02d}"
    return ";".join([f"A-{number:04d}", f"Bäckertüte Größe {number}", price, *place, day, str(number)]) + "\n"


def first_day() -> str:
    return FIRST + "".join(map(row, range(1, 61))) + BELOW.format(total="1.830")


def second_day() -> str:
    """Ten articles have another price, five are new, two lines are wrong, and there is a column more."""
    lines = [row(number, f"Halle {number % 3}") for number in range(11, 66)]
    lines += [row(number, "Halle 1", price=f"99,{number:02d}") for number in range(1, 11)]
    lines[0] = row(11, "Halle 2", price="auf Anfrage")
    lines[1] = row(12, "Halle 0", day="31.02.2026")
    return SECOND_DAY + "".join(lines) + BELOW.replace(";;;;", ";;;;;").format(total="2.145")


def looked_at(page: Page, name: str) -> None:
    """Nothing is wider than the screen, and nothing is hard to read, on a desk and on a phone, in both themes."""
    for size, screen in (("desk", DESK), ("phone", PHONE)):
        page.set_viewport_size(screen)  # type: ignore[arg-type]
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            expect(page.locator("html")).to_have_attribute("data-theme", theme)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} on a {size}"
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            keep(page, f"way-{name}-{size}-{theme}", whole=True)
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="light")


def test_from_an_unknown_file_to_a_trusted_table(page: Page, airflow: Airflow, tmp_path: Path) -> None:
    file = tmp_path / "lager_2026-03-02.csv"
    file.write_text(first_day(), encoding="windows-1252")
    said = airflow.run("dataset", "init", str(file), "--name", "lager")
    assert "60 rows, 5 columns, key: artikel_nr" in said
    assert "ambiguous" not in said
    described = airflow.folder / "include" / "datasets" / "lager.yaml"
    written = yaml.safe_load(described.read_text())
    found = {name: written["csv"][name] for name in ("encoding", "skip_lines", "footer_lines")}
    assert found == {"encoding": "cp1252", "skip_lines": 3, "footer_lines": 1}
    types = [column["type"] for column in written["columns"].values()]
    assert types == ["text", "text", "numeric(12,2)", "date", "integer"]
    # Started by hand, so that no scheduled run stands between; and two wrong rows of 65 are no reason to refuse a file.
    text = described.read_text().replace('schedule: "@daily"', "schedule: null").replace("ratio: 0.01", "ratio: null")
    described.write_text(text)
    airflow.read_again()

    said = airflow.run("dataset", "preview", "lager", str(file), "--date", "2026-03-02")
    assert "Nothing was written." in said
    with airflow.warehouse() as warehouse:
        assert warehouse.execute("SELECT to_regclass('public.lager')").fetchone() == (None,)

    dag = "ingest_lager"
    appeared(airflow.api, dag)
    airflow.api.patch(f"dags/{dag}", {"is_paused": False})
    assert arrived(airflow, "2026-03-02", first_day()) == "success"
    view = f"{airflow.settings.url}/millrace/ingest/ingest.html#/"
    page.goto(view)
    expect(page.locator(".datasets tbody tr", has_text="public.lager")).to_contain_text("done", timeout=60 * SECOND)
    looked_at(page, "datasets")

    assert arrived(airflow, "2026-03-03", second_day()) == "success"
    page.goto(view + "datasets/lager")
    looked_at(page, "dataset")
    page.get_by_role("link", name="2026-03-03").first.click()
    changed = page.get_by_role("region", name="What changed from the run before")
    expect(changed).to_contain_text("Lagerort")
    looked_at(page, "run")

    page.get_by_role("region", name="What became of its rows").get_by_role("link", name="2", exact=True).click()
    expect(page.locator(".rejected mark")).to_have_text(["auf Anfrage", "31.02.2026"])
    looked_at(page, "rejected")
    for line, field, value in ((5, "preis_in_eur", "12,50"), (6, "gezaehlt_am", "28.02.2026")):
        page.get_by_role("button", name=f"Edit line {line}").click()
        form = page.locator("tr.editor")
        form.get_by_label(field).fill(value)
        form.get_by_role("button", name="Check").click()
        expect(form.get_by_role("status")).to_contain_text("would be accepted", timeout=60 * SECOND)
        if line == 5:
            looked_at(page, "edit")
        form.get_by_role("button", name="Save").click()
        expect(form).to_have_count(0)
    page.get_by_role("button", name="Replay 2 corrected rows").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page.locator("#notes")).to_contain_text("2 accepted", timeout=300 * SECOND)
    looked_at(page, "replayed")
    with airflow.warehouse() as warehouse:
        query = "SELECT count(*), count(*) FILTER (WHERE artikel_nr = 'A-0011' AND preis_in_eur = 12.50) FROM lager"
        assert warehouse.execute(query).fetchone() == (65, 1)


def arrived(airflow: Airflow, day: str, text: str) -> str:
    """Put the file of a day into the inbox and run it; how the run ends."""
    target = airflow.settings.inbox / f"lager_{day}.csv"
    fresh = target.with_suffix(".new")
    fresh.write_text(text, encoding="windows-1252")
    fresh.replace(target)
    return airflow.outcome("ingest_lager", airflow.trigger("ingest_lager", day))
