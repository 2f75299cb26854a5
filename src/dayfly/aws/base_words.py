"""The resources of the base stack in a person's words: what each is, and why it is there."""

from __future__ import annotations

KINDS = {
    "AWS::CodeCommit::Repository": "CodeCommit repository",
    "AWS::EC2::EIP": "Elastic IP",
    "AWS::EC2::InternetGateway": "Internet gateway",
    "AWS::EC2::KeyPair": "Key pair",
    "AWS::EC2::LaunchTemplate": "Launch template",
    "AWS::EC2::Route": "Route",
    "AWS::EC2::RouteTable": "Route table",
    "AWS::EC2::Subnet": "Subnet",
    "AWS::EC2::SubnetRouteTableAssociation": "Routes of a subnet",
    "AWS::EC2::VPC": "VPC",
    "AWS::EC2::VPCEndpoint": "Gateway endpoint",
    "AWS::EC2::VPCGatewayAttachment": "Gateway's attachment",
    "AWS::ECR::Repository": "Image repository",
    "AWS::Events::Rule": "Event rule",
    "AWS::IAM::InstanceProfile": "Instance profile",
    "AWS::IAM::ManagedPolicy": "Policy",
    "AWS::IAM::Role": "Role",
    "AWS::Logs::LogGroup": "Log group",
    "AWS::Logs::ResourcePolicy": "Log group's policy",
    "AWS::S3::Bucket": "Bucket",
    "AWS::S3::BucketPolicy": "Bucket policy",
    "AWS::Scheduler::ScheduleGroup": "Schedule group",
}
"""Resource types as a person calls them."""

NAME_PROPERTIES = (
    "BucketName",
    "RepositoryName",
    "RoleName",
    "InstanceProfileName",
    "ManagedPolicyName",
    "PolicyName",
    "LaunchTemplateName",
    "KeyName",
    "LogGroupName",
    "CidrBlock",
    "Name",
)
"""Where a resource has its name."""

KEPT_TYPES = {
    "AWS::CodeCommit::Repository",
    "AWS::ECR::Repository",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
}
"""What costs nothing while empty, and by the gigabyte when not."""

WHY = {
    "Bucket": "keeps runs, snapshots and builds; stays when the rest goes",
    "BucketPolicy": "lets nobody in without TLS",
    "Repository": "keeps images; stays when the rest goes",
    "Mirror": "mirrors the code, so that machines can take the commit from it",
    "MachinePolicy": "what every machine may do: end itself, pull images, SSM sessions",
    "RunPolicy": "a run's inputs and outputs in the bucket",
    "LabPolicy": "a lab's files in the bucket",
    "RunRole": "of machines that run a notebook; the notebook cannot use it",
    "RunProfile": "gives a machine that role",
    "AccessRole": "of runs whose notebooks may use AWS, where you ask for that",
    "AccessProfile": "gives a machine that role",
    "BuildRole": "of machines that build images; cannot read runs",
    "BuildProfile": "gives a machine that role",
    "LabRole": "of machines with JupyterLab; cannot read runs",
    "LabProfile": "gives a machine that role",
    "CloudFormationRole": "makes and ends machines, so that users need no EC2 rights",
    "SchedulerRole": "ends machines at their deadline, and can do nothing else",
    "ScheduleGroup": "holds the deadlines of machines",
    "LaunchTemplate": "makes machines safe: IMDSv2, power-off terminates",
    "AccessLaunchTemplate": "the same, for notebooks that may use AWS",
    "KeyPair": "lets you in by SSH, where a run asks for that",
    "Address": "is a fixed address for SSH; AWS bills it by the hour",
    "Vpc": "is a network of the project's own",
    "FirstSubnet": "has the machines of one zone",
    "SecondSubnet": "has those of another, when the first has no capacity",
    "ThirdSubnet": "has those of a third",
    "Gateway": "leads machines to AWS; nothing comes in by it",
    "GatewayAttachment": "joins gateway and VPC",
    "RouteTable": "says which way leads out",
    "RouteOut": "leads out by the gateway",
    "FirstSubnetRoutes": "joins subnet and routes",
    "SecondSubnetRoutes": "joins subnet and routes",
    "ThirdSubnetRoutes": "joins subnet and routes",
    "S3Endpoint": "leads to S3 within AWS; free",
    "StackLog": "keeps what became of machines, for 90 days",
    "StackLogPolicy": "lets events be written to it",
    "StackEvents": "writes each change of a machine's stack to it",
}
"""Why each is there, by its name in base.yaml."""
