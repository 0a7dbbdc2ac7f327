"""Deploys template.yaml to MiniStack, an emulator of AWS that this project did not write, and examines it.

    pip install ministack aws-sam-translator boto3
    BIND_HOST=127.0.0.1 GATEWAY_PORT=4599 ministack &
    cargo build -p waxwing-functions --bin bootstrap && cargo build -p waxwing-cli
    python .ci/emulator.py target/debug/bootstrap target/debug/waxwing

What the emulator does not have is taken out of the template first, and printed. The doctor types the codes that it
finds in the emulator's list of texts. Exits with the doctor's code.
"""

import io
import json
import re
import subprocess
import sys
import urllib.request
import zipfile

import boto3

ENDPOINT = "http://127.0.0.1:4599"
STACK = "waxwing"
BUCKET = "waxwing-code"
PHONES = ("+13055550101", "+13055550102")

# What MiniStack does not know, as resource types of the template.
LACKING = ("AWS::ApiGatewayV2::RouteResponse", "AWS::Budgets::Budget")


def client(service):
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def template():
    """The template without what the emulator lacks, its code in a bucket."""
    parts = re.split(r"\n(?=  \w+:\n    Type: )", open("template.yaml", encoding="utf-8").read())
    kept, left_out = [], []
    for part in parts:
        kind = re.search(r"^    Type: (\S+)", part, re.M) if part.startswith("  ") else None
        # Alarms over several metrics at once are unknown to it as well.
        if kind and (kind.group(1) in LACKING or "SUM(METRICS())" in part):
            left_out.append(part.split(":")[0].strip())
            # What stands between this resource and the next, a heading or a section, stays.
            rest = re.search(r"\n(?=\S|  # -)", part)
            kept.append(part[rest.start() :] if rest else "")
        else:
            kept.append(part)
    text = "\n".join(kept)
    text = text.replace("CodeUri: functions", f"CodeUri: s3://{BUCKET}/functions.zip")
    # Where AWS is, for the functions.
    text = text.replace("      Variables:\n", f"      Variables:\n        AWS_ENDPOINT_URL: {ENDPOINT}\n", 1)
    connections = f'CONNECTIONS_ENDPOINT: !Sub "{ENDPOINT}/_aws/execute-api/${{WebSocketApi}}/${{StageName}}"'
    text = re.sub(r"CONNECTIONS_ENDPOINT: .*", lambda _: connections, text, count=1)
    # CodeDeploy: the first deployment has nothing to move traffic from.
    text = re.sub(r"    DeploymentPreference:\n(      .*\n)+", "", text)
    print("left out:", ", ".join(left_out), "and DeploymentPreference")
    return text


def upload(binary):
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, open(binary, "rb").read(), zipfile.ZIP_DEFLATED)
    s3 = client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="functions.zip", Body=code.getvalue())
    print("code:", len(code.getvalue()), "bytes zipped")


def deploy():
    # By a URL, as sam does: it is larger than a request may be.
    client("s3").put_object(Bucket=BUCKET, Key="template.yaml", Body=template().encode())
    cloudformation = client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{ENDPOINT}/{BUCKET}/template.yaml",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": "PhoneHashKey", "ParameterValue": "e" * 64},
            {"ParameterKey": "Architecture", "ParameterValue": "x86_64"},
        ],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def add_http_routes(outputs):
    """SAM hands the routes of an HTTP API over as OpenAPI, which the emulator does not read: they are made one by one."""
    api = re.match(r"https://(\w+)", outputs["HttpUrl"]).group(1)
    gateway = client("apigatewayv2")
    resources = client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    text = open("template.yaml", encoding="utf-8").read()
    event = r"Type: HttpApi\n +Properties:\n +ApiId: !Ref HttpApi\n +Method: (\w+)\n +Path: (\S+)"
    for function in re.split(r"\n(?=  \w+Function:\n)", text)[1:]:
        name = names[function.split(":")[0].strip()]
        arn = name if name.startswith("arn:") else f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
        for method, path in re.findall(event, function):
            integration = gateway.create_integration(
                ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
            )["IntegrationId"]
            gateway.create_route(ApiId=api, RouteKey=f"{method} {path}", Target=f"integrations/{integration}")


def local(address):
    """The emulator's own address for one of AWS: wss://ID.execute-api.REGION.amazonaws.com/STAGE."""
    scheme, api, stage = re.match(r"(\w+)://(\w+)\.execute-api[^/]*/(\w+)", address).groups()
    return f"{scheme[:-1]}://127.0.0.1:4599/_aws/execute-api/{api}/{stage}"


def code_for(phone, seen):
    """Waits for the next text to a phone: the doctor asked for it before it asks for the code."""
    with urllib.request.urlopen(f"{ENDPOINT}/_ministack/sns/sms-messages") as answer:
        texts = json.dumps(json.load(answer))
    codes = [code for code in re.findall(r"\b\d{6}\b", texts) if code not in seen]
    seen.extend(codes)
    return codes[-1]


def examine(doctor, outputs):
    command = [doctor, "doctor", "--endpoint", local(outputs["WebSocketUrl"])]
    command += ["--http-endpoint", local(outputs["HttpUrl"]), "--take-over", "--patience", "60"]
    for phone in PHONES:
        command += ["--phone", phone]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = []
    for line in running.stderr:
        print(line, end="")
        if "Type the code" in line:
            running.stdin.write(code_for(PHONES[len(seen)], seen) + "\n")
            running.stdin.flush()
    return running.wait()


if __name__ == "__main__":
    upload(sys.argv[1])
    outputs = deploy()
    print(json.dumps(outputs, indent=2))
    add_http_routes(outputs)
    sys.exit(examine(sys.argv[2], outputs))
