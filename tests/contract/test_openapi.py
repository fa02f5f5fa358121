"""The OpenAPI document: valid, whole, its examples true, its codes those of the problem table."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from openapi_spec_validator import validate

from jobd.api.openapi.document import OPERATIONS, build
from jobd.api.openapi.shapes import LINKS
from jobd.api.problems import PROBLEMS
from jobd.domain.events import CALLBACK_TYPES
from jobd.wire.webhooks import DAEMON_TYPES

DOCUMENT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(build()))
COMPONENTS = DOCUMENT["components"]

CODES = """
400 digest_mismatch invalid_idempotency_key invalid_page_token invalid_parameter
400 malformed_body malformed_json unknown_parameter
401 invalid_token unauthenticated
403 forbidden origin_not_allowed
404 batch_not_found delivery_not_found endpoint_not_found job_not_found not_found
405 method_not_allowed
406 not_acceptable
408 body_timeout
409 delivery_active endpoint_disabled
409 idempotency_in_progress input_missing job_active job_already_finished job_already_retried
409 job_completed job_failed nothing_to_retry result_not_ready upload_in_use
410 batch_expired job_expired
412 precondition_failed
413 args_too_large body_too_large upload_too_large
415 unsupported_media_type
416 range_not_satisfiable
421 host_not_allowed
422 batch_rejected callback_url_forbidden idempotency_key_reused unknown_kind validation_error
426 upgrade_required
429 endpoint_limit quota_exceeded rate_limited too_many_batches too_many_streams too_many_uploads
500 internal_error
503 database_busy handler_unavailable handlers_not_loaded outcome_unknown queue_full starting
503 storage_failed too_many_connections
507 storage_full
"""
"""What clients go by; a line that changes here breaks them."""

OF_THE_ROUTER = {
    "method_not_allowed",
    "host_not_allowed",
    "origin_not_allowed",
    "too_many_connections",
}
"""They come before any operation."""


def operations() -> Iterator[dict[str, Any]]:
    for methods in DOCUMENT["paths"].values():
        yield from methods.values()


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every media type of every request and answer, webhooks too."""
    outgoing = [methods["post"] for methods in DOCUMENT["webhooks"].values()]
    for operation in [*operations(), *outgoing]:
        answers = operation["responses"].values()
        for part in [operation.get("requestBody", {}), *answers]:
            for media_type, content in part.get("content", {}).items():
                yield f"{operation['operationId']} {media_type}", content


def misfits(schema: dict[str, Any], value: Any) -> list[str]:
    validator = jsonschema_rs.Draft202012Validator(
        {**schema, "components": COMPONENTS}, validate_formats=True
    )
    return [error.message for error in validator.iter_errors(value)]


def test_a_validator_that_others_wrote_finds_nothing() -> None:
    validate(DOCUMENT)


def test_it_says_where_the_daemon_is_if_that_is_set() -> None:
    assert DOCUMENT["servers"] == [{"url": "/"}]
    assert build("https://jobs.example/app")["servers"] == [{"url": "https://jobs.example/app"}]


def test_the_codes_are_the_promised_ones_with_their_statuses() -> None:
    lines = [line.split() for line in CODES.split("\n") if line]
    promised = {code: int(status) for status, *codes in lines for code in codes}

    assert {code: kind.status for code, kind in PROBLEMS.items()} == promised
    shown = {code: example["value"]["status"] for code, example in COMPONENTS["examples"].items()}
    assert shown == {code: promised[code] for code in promised.keys() - OF_THE_ROUTER}


def test_every_code_is_one_that_some_operation_gives() -> None:
    given = {code for operation in OPERATIONS for code in operation.problems}

    assert given | OF_THE_ROUTER == PROBLEMS.keys()


def test_a_code_stands_below_its_status_in_the_document() -> None:
    for operation in operations():
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/problem+json", {})
            for code in content.get("examples", {}):
                assert PROBLEMS[code].status == int(status), operation["operationId"]


def test_operations_have_names_of_their_own_and_all_that_a_reader_needs() -> None:
    ids = [operation["operationId"] for operation in operations()]
    tags = {tag["name"] for tag in DOCUMENT["tags"]}

    assert len(set(ids)) == len(ids)
    for operation in operations():
        assert re.fullmatch(r"[a-z][A-Za-z]+", operation["operationId"])
        assert set(operation["tags"]) <= tags
        assert not operation["summary"].endswith(".")
        assert operation["description"].endswith(".")
        assert any(status < "300" for status in operation["responses"])
    assert tags == {tag for operation in operations() for tag in operation["tags"]}


def test_examples_fit_their_schemas() -> None:
    seen = 0
    for name, content in bodies():
        for code in content.get("examples", {}):
            assert misfits(content["schema"], COMPONENTS["examples"][code]["value"]) == [], name
        if "example" in content:
            assert misfits(content["schema"], content["example"]) == [], name
            seen += 1
    assert seen > 30


@pytest.mark.parametrize("kind", ["parameters", "headers"])
def test_examples_of_parameters_and_headers_fit(kind: str) -> None:
    for name, one in COMPONENTS[kind].items():
        if "example" in one:
            assert misfits(one["schema"], one["example"]) == [], name


def test_every_json_body_has_an_example() -> None:
    free = {"getResult application/json"}
    bare = {
        name
        for name, content in bodies()
        if name.endswith(("/json", "+json"))
        and "example" not in content
        and "examples" not in content
    }

    assert bare == free


def test_links_lead_from_a_field_that_is_there_to_an_operation_that_takes_it() -> None:
    by_id = {operation["operationId"]: operation for operation in operations()}
    used = set()
    for operation in operations():
        for answer in operation["responses"].values():
            for name, link in answer.get("links", {}).items():
                used.add(name)
                ((parameter, expression),) = link["parameters"].items()
                (content,) = answer["content"].values()
                field = expression.removeprefix("$response.body#/")
                assert field in content["example"], operation["operationId"]
                target = by_id[link["operationId"]]
                taken = [
                    COMPONENTS["parameters"][one["$ref"].rpartition("/")[2]]["name"]
                    for one in target["parameters"]
                ]
                assert parameter in taken
    assert used == LINKS.keys()


def test_every_field_of_an_answer_is_required_unless_it_may_be_absent() -> None:
    job, problem = COMPONENTS["schemas"]["JobDetail"], COMPONENTS["schemas"]["Problem"]

    assert set(job["required"]) == set(job["properties"])
    assert set(problem["properties"]) - set(problem["required"]) == {"retryable", "error", "job_id"}


def test_what_stands_below_a_field_is_its_description() -> None:
    fields = COMPONENTS["schemas"]["JobDetail"]["properties"]

    assert fields["queue_position"]["description"].startswith("Jobs of its queue that go before")
    assert fields["charged_attempts"]["description"].startswith("Failures and crashes")


def test_what_is_sent_of_its_own_accord_is_told_twice() -> None:
    """Where it is asked for, and by its type."""
    paths = DOCUMENT["paths"]
    job, batch = (paths[path]["post"]["callbacks"] for path in ("/v1/jobs", "/v1/batches"))

    assert list(job["job"]) == ["{$request.body#/callback_url}"]
    assert list(batch["batch"]) == ["{$request.query.callback_url}"]
    assert DOCUMENT["webhooks"].keys() == {
        *CALLBACK_TYPES,
        "batch.completed",
        "webhook.test",
        *DAEMON_TYPES,
    }
