"""Write `emergence.csv`, the invented data set of the example notebooks.

Three stations on one imaginary stream, one season, every day: the water's temperature and
the mayflies caught in an emergence trap. The shape is true to nature (larvae grow with the
warmth that they have collected, and all hatch within a few weeks); the numbers are invented
and in the public domain. Run it again and the same file comes out.
"""

import csv
import math
import random
from datetime import date, timedelta
from pathlib import Path

SEASON_START = date(2025, 4, 1)
SEASON_DAYS = 122
GROWTH_STARTS_AT_C = 5.0
HATCHING_AT_DEGREE_DAYS = 400.0
HATCHING_SPREAD_DAYS = 9.0

#: Name of the station, how much colder than the lowest one its water is, mayflies in a season.
STATIONS = (("Headwater", 3.6, 620), ("Mill", 1.9, 1150), ("Meadow", 0.0, 1840))


def weather(days: int, rng: random.Random) -> list[float]:
    """Deviations from the season's mean in °C: warm and cold spells that last some days."""
    deviations = [0.0]
    while len(deviations) < days:
        deviations.append(0.82 * deviations[-1] + rng.gauss(0, 0.75))
    return deviations


def season(name: str, colder_c: float, mayflies: int, spells: list[float]) -> list[list[object]]:
    """One station's rows: date, station, water temperature in °C, mayflies caught."""
    rng = random.Random(name)
    days = [SEASON_START + timedelta(days=day) for day in range(SEASON_DAYS)]
    water = [
        7.0 + 9.5 * math.sin(math.pi * day / 210) + spells[day] - colder_c + rng.gauss(0, 0.25)
        for day in range(SEASON_DAYS)
    ]
    collected, middle = 0.0, SEASON_DAYS
    for day, temperature in enumerate(water):
        collected += max(0.0, temperature - GROWTH_STARTS_AT_C)
        if collected >= HATCHING_AT_DEGREE_DAYS:
            middle = day
            break
    rows: list[list[object]] = []
    for day, temperature in enumerate(water):
        distance = (day - middle) / HATCHING_SPREAD_DAYS
        expected = mayflies / (HATCHING_SPREAD_DAYS * math.sqrt(2 * math.pi)) * math.exp(-(distance**2) / 2)
        # A warm evening brings more of them out than a cold one.
        expected *= math.exp(0.12 * spells[day]) * rng.lognormvariate(0, 0.22)
        rows.append([days[day].isoformat(), name, f"{temperature:.1f}", round(expected)])
    return rows


def main() -> None:
    """Write the file beside this script."""
    spells = weather(SEASON_DAYS, random.Random("stream"))
    with (Path(__file__).parent / "emergence.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["date", "station", "water_c", "mayflies"])
        for station in STATIONS:
            writer.writerows(season(*station, spells))


if __name__ == "__main__":
    main()
