"""Amazon Bedrock: Converse, and InvokeModel for embeddings and Claude. Source: botocore's service model, AWS's documentation."""
