"""Reading our own templates: which resources they would make, of which names, and what their roles may do.

CloudFormation alone says what happens; this says it beforehand, to whoever has to agree to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, cast

import yaml

_REMARK = re.compile(r"\s*# ")
_VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template as it stands in its file, and what it says."""

    text: str
    document: Mapping[str, Any]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Every parameter and its declaration."""
        return cast("Mapping[str, Any]", self.document["Parameters"])

    @property
    def body(self) -> str:
        """The text without lines of comment (no script in it may have any): a call takes 51,200 bytes."""
        return "".join(line for line in self.text.splitlines(keepends=True) if not _REMARK.match(line))

    def defaults(self) -> dict[str, str]:
        """The parameters that have a default, and it."""
        return {name: str(one["Default"]) for name, one in self.parameters.items() if "Default" in one}


@cache
def load_template(name: str) -> Template:
    """`base` or `machine`."""
    text = (files("dayfly.aws") / "templates" / f"{name}.yaml").read_text(encoding="utf-8")
    # A SafeLoader, with CloudFormation's own short forms.
    return Template(text=text, document=yaml.load(text, Loader=_Loader))  # noqa: S506


class _Loader(yaml.SafeLoader):
    """Knows `!Ref`, `!Sub` and the other short forms, and makes the long ones of them."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(cast("yaml.MappingNode", node), deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _short_form)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A template with values for its parameters. `values` also has the pseudo parameters (AWS::Region …)."""

    template: Template
    values: Mapping[str, str]

    def resources(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The resources that would be made, in the order of the template."""
        for name, one in self.template.document["Resources"].items():
            if "Condition" not in one or self.holds(one["Condition"]):
                yield name, one

    def dependencies(self) -> dict[str, set[str]]:
        """For each resource, those that must be there before it."""
        there = dict(self.resources())
        return {name: _named_in(one) & there.keys() - {name} for name, one in there.items()}

    def holds(self, condition: str) -> bool:
        """Whether a named condition is true."""
        return self._true(self.template.document["Conditions"][condition])

    def _true(self, test: Any) -> bool:
        [(function, of)] = test.items()
        match function:
            case "Condition":
                return self.holds(of)
            case "Fn::Equals":
                return self.text(of[0]) == self.text(of[1])
            case "Fn::Not":
                return not self._true(of[0])
            case "Fn::And":
                return all(self._true(one) for one in of)
            case "Fn::Or":
                return any(self._true(one) for one in of)
        raise ValueError(f"{function} is no condition")

    def text(self, value: Any) -> str:
        """A value as text; what only AWS will know stands there as `<Resource>`."""
        if not isinstance(value, Mapping):
            return str(value)
        [(function, of)] = value.items()
        found = f"<{function}>"
        match function:
            case "Ref":
                found = self._name(of)
            case "Fn::GetAtt":
                found = self._name(".".join(of))
            case "Fn::If":
                found = self.text(of[1] if self.holds(of[0]) else of[2])
            case "Fn::Join":
                found = str(of[0]).join(self.texts(of[1]))
            case "Fn::Sub":
                found = self._substitute(*((of, {}) if isinstance(of, str) else of))
        return found

    def _substitute(self, form: str, extra: Mapping[str, Any]) -> str:
        def replace(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return "${" + name + "}"
            return self.text(extra[name]) if name in extra else self._name(name)

        return _VARIABLE.sub(replace, form)

    def _name(self, reference: str) -> str:
        return self.values.get(reference, f"<{reference}>")

    def items(self, value: Any) -> list[Any]:
        """The elements of a list that hold: some may depend on conditions."""
        found: list[Any] = []
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping) and set(one) == {"Fn::If"}:
                name, then, otherwise = one["Fn::If"]
                found += self.items(then if self.holds(name) else otherwise)
            elif not (isinstance(one, Mapping) and one.get("Ref") == "AWS::NoValue"):
                found.append(one)
        return found

    def texts(self, value: Any) -> list[str]:
        """A list of text, however it is written: as one, as a parameter with commas, or split from text."""
        found: list[str] = []
        for one in self.items(value):
            if isinstance(one, Mapping) and "Fn::Split" in one:
                separator, text = one["Fn::Split"]
                found += self.text(text).split(separator)
            elif isinstance(one, Mapping) and not isinstance(value, list) and "Ref" in one:
                found += self.text(one).split(",")
            else:
                found.append(self.text(one))
        return found


def _named_in(value: Any) -> set[str]:
    """Every name that a part of a template refers to."""
    if isinstance(value, list):
        return set().union(*map(_named_in, value))
    if not isinstance(value, Mapping):
        return set()
    found: set[str] = set()
    for key, of in value.items():
        if key in {"Ref", "DependsOn"}:
            found |= {of} if isinstance(of, str) else set(of)
        elif key == "Fn::GetAtt":
            found.add(of[0])
        else:
            if key == "Fn::Sub":
                form = of if isinstance(of, str) else of[0]
                found |= {name.partition(".")[0] for _, name in _VARIABLE.findall(form)}
            found |= _named_in(of)
    return found
