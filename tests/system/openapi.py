# SPDX-License-Identifier: Apache-2.0
"""As much of OpenAPI 3.0.3 as the tests need: whether an answer is one that the document describes."""

import json
import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
KNOWN = {"type", "format", "nullable", "enum", "properties", "required", "additionalProperties", "minProperties", "items", "maxItems",
         "anyOf", "oneOf", "allOf", "$ref", "pattern", "minimum", "maximum", "default", "description", "title", "readOnly"}


class Misfit(AssertionError):
    pass


class Document:
    def __init__(self, document):
        self.document = document

    def resolve(self, thing):
        """Follows `$ref`s, inside the document only."""
        while "$ref" in thing:
            at = self.document
            for part in thing["$ref"].removeprefix("#/").split("/"):
                at = at[part]
            thing = at
        return thing

    def fits(self, schema, value, where="$"):
        try:
            self.check(schema, value, where)
            return True
        except Misfit:
            return False

    def check(self, schema, value, where="$"):
        """Raises Misfit, naming the place, when a value is not of a schema."""
        schema = self.resolve(schema)
        if unknown := set(schema) - KNOWN:
            raise AssertionError(f"{where}: this validator does not know {unknown}")
        for part in schema.get("allOf", []):
            self.check(part, value, where)
        for word, most in (("anyOf", 99999), ("oneOf", 1)):
            if word in schema:
                fitting = sum(self.fits(part, value, where) for part in schema[word])
                if not 1 <= fitting <= most:
                    raise Misfit(f"{where}: {fitting} of {word} fit {str(value)[:300]}")
        if value is None:
            if "type" in schema and not schema.get("nullable"):
                raise Misfit(f"{where}: null")
            return
        kind = schema.get("type")
        if kind and (not isinstance(value, TYPES[kind]) or isinstance(value, bool) != (kind == "boolean")):
            raise Misfit(f"{where}: {str(value)[:100]} is no {kind}")
        if "enum" in schema and value not in schema["enum"]:
            raise Misfit(f"{where}: {value} is none of {schema['enum']}")
        if isinstance(value, dict):
            self.check_object(schema, value, where)
        if isinstance(value, list):
            if len(value) > schema.get("maxItems", len(value)):
                raise Misfit(f"{where}: too long")
            for i, member in enumerate(value):
                self.check(schema.get("items", {}), member, f"{where}[{i}]")
        if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
            raise Misfit(f"{where}: {value[:100]} is not like {schema['pattern']}")
        if isinstance(value, (int, float)) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            raise Misfit(f"{where}: {value} is out of bounds")
        if schema.get("format") == "int64" and not -2**63 <= value < 2**63:
            raise Misfit(f"{where}: {value} has more than 64 bits")

    def check_object(self, schema, value, where):
        if missing := set(schema.get("required", [])) - set(value):
            raise Misfit(f"{where}: without {missing}")
        if len(value) < schema.get("minProperties", 0):
            raise Misfit(f"{where}: too few members")
        more = schema.get("additionalProperties", True)
        for name, member in value.items():
            if name in schema.get("properties", {}):
                self.check(schema["properties"][name], member, f"{where}.{name}")
            elif more is False:
                raise Misfit(f"{where}: has {name}")
            elif more is not True:
                self.check(more, member, f"{where}.{name}")

    def check_answer(self, method, template, answer):
        """That the document says what `answer` (server.Answer) to a call is: its status, its headers, its body."""
        described = self.document["paths"][template][method.lower()]["responses"]
        where = f"{method} {template} {answer.status}"
        if str(answer.status) not in described:
            raise Misfit(f"{where}: not described: {answer}")
        response = self.resolve(described[str(answer.status)])
        for name in response.get("headers", {}):
            if name not in answer.headers:
                raise Misfit(f"{where}: without the header {name}")
        content = response.get("content")
        if not content:
            if answer.body:
                raise Misfit(f"{where}: a body that is not described: {answer}")
            return
        (media, described), = content.items()
        if answer.headers["Content-Type"].split(";")[0] != media:
            raise Misfit(f"{where}: is {answer.headers['Content-Type']}")
        self.check(described["schema"], json.loads(answer.body) if media == "application/json" else answer.body.decode(), where)

    def references(self):
        """Every `$ref` there is."""
        return re.findall(r'"\$ref": "([^"]*)"', json.dumps(self.document))
