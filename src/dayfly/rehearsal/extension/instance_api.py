"""What EC2's API tells of instances, where ministack knows too little of them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from ministack.core.responses import now_iso
from ministack.services import ec2

from . import instances
from .world import WORLD, Answer


def install() -> None:
    """Replace these calls, and add GetConsoleOutput and DryRun."""
    ec2._instance_xml = _with_more(ec2._instance_xml)
    ec2._ACTION_MAP |= {
        "DescribeInstanceAttribute": _attribute(ec2._ACTION_MAP["DescribeInstanceAttribute"]),
        "TerminateInstances": _terminating(ec2._ACTION_MAP["TerminateInstances"]),
        "GetConsoleOutput": _console_output,
    }
    ec2.handle_request = _dry_running(ec2.handle_request)


def _with_more(original: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], str]:
    """Metadata options, spot, and the instance's key only when it has one."""

    def xml(instance: dict[str, Any]) -> str:
        said = original(instance).replace("<keyName></keyName>", "")
        more = ""
        if options := instance.get("MetadataOptions"):
            in_metadata = options.get("InstanceMetadataTags", "disabled")
            more += (
                f"<metadataOptions><state>applied</state><httpTokens>{options['HttpTokens']}</httpTokens>"
                f"<httpPutResponseHopLimit>{options['HttpPutResponseHopLimit']}</httpPutResponseHopLimit>"
                f"<httpEndpoint>{options['HttpEndpoint']}</httpEndpoint>"
                f"<instanceMetadataTags>{in_metadata}</instanceMetadataTags>"
                "</metadataOptions>"
            )
        if instance.get("InstanceLifecycle"):
            more += "<instanceLifecycle>spot</instanceLifecycle>"
            more += f"<spotInstanceRequestId>{instance['SpotInstanceRequestId']}</spotInstanceRequestId>"
        return f"{said.rpartition('</item>')[0]}{more}</item>"

    return xml


def _attribute(original: Callable[[dict[str, Any]], Answer]) -> Callable[[dict[str, Any]], Answer]:
    """User data and shutdown behaviour as they were asked for."""

    def describe(parameters: dict[str, Any]) -> Answer:
        instance = ec2._instances.get(ec2._p(parameters, "InstanceId"))
        attribute = ec2._p(parameters, "Attribute")
        if instance is None or attribute not in ("userData", "instanceInitiatedShutdownBehavior"):
            return original(parameters)
        value = (
            instance.get("UserData") if attribute == "userData" else instance.get("ShutdownBehavior", "stop")
        )
        inner = f"<value>{escape(value)}</value>" if value else ""
        said = f"<instanceId>{instance['InstanceId']}</instanceId><{attribute}>{inner}</{attribute}>"
        answer: Answer = ec2._xml(200, "DescribeInstanceAttributeResponse", said)
        return answer

    return describe


def _terminating(original: Callable[[dict[str, Any]], Answer]) -> Callable[[dict[str, Any]], Answer]:
    def terminate(parameters: dict[str, Any]) -> Answer:
        named = [ec2._instances.get(one) for one in ec2._parse_member_list(parameters, "InstanceId")]
        alive = [one for one in named if one and one["State"]["Name"] != "terminated"]
        answer = original(parameters)
        if answer[0] == 200:  # noqa: PLR2004
            for instance in alive:
                instances.after_termination(instance)
        return answer

    return terminate


def _console_output(parameters: dict[str, Any]) -> Answer:
    """In base64; https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html."""
    instance_id = ec2._p(parameters, "InstanceId")
    if instance_id not in ec2._instances:
        missing: Answer = ec2._error(
            "InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist", 400
        )
        return missing
    text = base64.b64encode(WORLD.console.get(instance_id, "").encode()).decode()
    said = f"<instanceId>{instance_id}</instanceId><timestamp>{now_iso()}</timestamp><output>{text}</output>"
    answer: Answer = ec2._xml(200, "GetConsoleOutputResponse", said)
    return answer


def _dry_running(original: Callable[..., Any]) -> Callable[..., Any]:
    """A call with DryRun that policies allow ends in DryRunOperation, and does nothing."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Answer:
        if b"DryRun=true" in body:
            refused: Answer = ec2._error(
                "DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412
            )
            return refused
        answer: Answer = await original(method, path, headers, body, query)
        return answer

    return handle
