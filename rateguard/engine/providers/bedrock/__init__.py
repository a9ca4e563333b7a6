"""Amazon Bedrock's runtime: Converse, ConverseStream, and embeddings by InvokeModel, signed with AWS credentials of any kind."""
