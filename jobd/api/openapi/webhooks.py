"""The operations on webhooks: endpoints, and what was sent to them."""

from jobd.api.openapi.shapes import (
    READ,
    SENT,
    WRITTEN,
    Answer,
    Body,
    Content,
    Operation,
)
from jobd.wire.deliveries import (
    Delivery,
    DeliveryDetail,
    DeliveryList,
    Redelivered,
    RedeliverRequest,
)
from jobd.wire.endpoints import (
    Endpoint,
    EndpointList,
    EndpointPatch,
    EndpointRequest,
    NewEndpoint,
    RotatedEndpoint,
    RotateRequest,
)

_ENDPOINTS = "/v1/webhook-endpoints"
_ENDPOINT = f"{_ENDPOINTS}/{{endpoint_id}}"
_DELIVERIES = "/v1/webhook-deliveries"
_DELIVERY = f"{_DELIVERIES}/{{delivery_id}}"
_NOT_THERE = "endpoint_not_found"
_ROTATION = Body((Content(RotateRequest),), required=False)
_ROTATED = (Answer(200, "The new secret, shown this once.", (Content(RotatedEndpoint),)),)

_OF_ENDPOINTS = (
    Operation(
        method="POST",
        path=_ENDPOINTS,
        id="createEndpoint",
        tag="webhooks",
        summary="Register a URL that is told of what happens",
        description="Told of the caller's jobs, from what commits after this on.",
        body=Body((Content(EndpointRequest),)),
        answers=(
            Answer(
                201,
                "It is registered; its secret is shown this once.",
                (Content(NewEndpoint),),
                ("Location", "ETag"),
                ("getEndpoint", "changeEndpoint", "deleteEndpoint", "testEndpoint"),
            ),
        ),
        problems=(*WRITTEN, *SENT, "callback_url_forbidden", "endpoint_limit"),
    ),
    Operation(
        method="GET",
        path=_ENDPOINTS,
        id="listEndpoints",
        tag="webhooks",
        summary="List the endpoints of the caller, or of everybody",
        parameters=("all", "page_size", "page_token"),
        answers=(
            Answer(200, "A page of them, oldest first.", (Content(EndpointList),), ("Link",)),
        ),
        problems=(*READ, "invalid_parameter", "invalid_page_token"),
    ),
    Operation(
        method="GET",
        path=_ENDPOINT,
        id="getEndpoint",
        tag="webhooks",
        summary="Read an endpoint",
        parameters=("endpoint_id", "if_none_match"),
        answers=(
            Answer(200, "The endpoint.", (Content(Endpoint),), ("ETag",)),
            Answer(304, "The caller has it.", headers=("ETag",)),
        ),
        problems=(*READ, _NOT_THERE),
    ),
    Operation(
        method="PATCH",
        path=_ENDPOINT,
        id="changeEndpoint",
        tag="webhooks",
        summary="Change an endpoint, pause, disable or enable it",
        description="What waits for it goes by the change too.",
        parameters=("endpoint_id", "if_match"),
        body=Body((Content(EndpointPatch),)),
        answers=(Answer(200, "The endpoint as it is now.", (Content(Endpoint),), ("ETag",)),),
        problems=(*WRITTEN, *SENT, _NOT_THERE, "callback_url_forbidden", "precondition_failed"),
    ),
    Operation(
        method="DELETE",
        path=_ENDPOINT,
        id="deleteEndpoint",
        tag="webhooks",
        summary="Remove an endpoint",
        description="What waits for it is dead.",
        parameters=("endpoint_id", "if_match"),
        answers=(Answer(204, "It is gone."),),
        problems=(*WRITTEN, _NOT_THERE, "precondition_failed"),
    ),
    Operation(
        method="POST",
        path=f"{_ENDPOINT}/test",
        id="testEndpoint",
        tag="webhooks",
        summary="Send an endpoint a webhook.test",
        parameters=("endpoint_id",),
        answers=(
            Answer(
                202,
                "It is due.",
                (Content(Delivery),),
                ("Location",),
                ("getDelivery", "redeliver"),
            ),
        ),
        problems=(*WRITTEN, _NOT_THERE, "endpoint_disabled"),
    ),
    Operation(
        method="POST",
        path=f"{_ENDPOINT}/rotate-secret",
        id="rotateSecret",
        tag="webhooks",
        summary="Make a new secret for the signatures to an endpoint",
        parameters=("endpoint_id",),
        body=_ROTATION,
        answers=_ROTATED,
        problems=(*WRITTEN, *SENT, _NOT_THERE),
    ),
    Operation(
        method="POST",
        path=f"{_ENDPOINTS}/default/rotate-secret",
        id="rotateDefaultSecret",
        tag="webhooks",
        summary="Make a new secret for the signatures of callbacks",
        body=_ROTATION,
        answers=_ROTATED,
        problems=(*WRITTEN, *SENT),
    ),
    Operation(
        method="POST",
        path=f"{_ENDPOINTS}/ops/rotate-secret",
        id="rotateOpsSecret",
        tag="webhooks",
        summary="Make a new secret for what the daemon tells of itself",
        description="Of what goes to `[webhooks] ops_url`; it takes the scope `admin`.",
        body=_ROTATION,
        answers=_ROTATED,
        problems=(*WRITTEN, *SENT),
    ),
)

_OF_DELIVERIES = (
    Operation(
        method="GET",
        path=_DELIVERIES,
        id="listDeliveries",
        tag="webhooks",
        summary="List what was sent, newest first",
        description="To the caller's endpoints and to the callback URLs of the caller's jobs.",
        parameters=(
            "of_delivery_status",
            "of_job",
            "of_endpoint",
            "since",
            "all",
            "page_size",
            "page_token",
        ),
        answers=(Answer(200, "A page of them.", (Content(DeliveryList),), ("Link",)),),
        problems=(*READ, "invalid_parameter", "invalid_page_token"),
    ),
    Operation(
        method="GET",
        path=_DELIVERY,
        id="getDelivery",
        tag="webhooks",
        summary="Read a delivery with all its attempts",
        parameters=("delivery_id",),
        answers=(Answer(200, "The delivery.", (Content(DeliveryDetail),)),),
        problems=(*READ, "delivery_not_found"),
    ),
    Operation(
        method="POST",
        path=f"{_DELIVERY}/redeliver",
        id="redeliver",
        tag="webhooks",
        summary="Send once more what is over",
        description="With the webhook-id and the bytes that it had, by a new schedule.",
        parameters=("delivery_id",),
        answers=(Answer(202, "It is due.", (Content(Delivery),)),),
        problems=(
            *WRITTEN,
            "delivery_not_found",
            "delivery_active",
            _NOT_THERE,
            "endpoint_disabled",
        ),
    ),
    Operation(
        method="POST",
        path=f"{_DELIVERIES}/redeliver",
        id="redeliverAll",
        tag="webhooks",
        summary="Send once more all that fits",
        description="Without what is for an endpoint that is gone or disabled.",
        body=Body((Content(RedeliverRequest),)),
        answers=(Answer(202, "They are due.", (Content(Redelivered),)),),
        problems=(*WRITTEN, *SENT),
    ),
)

OPERATIONS = (*_OF_ENDPOINTS, *_OF_DELIVERIES)
