"""What tests share: small buckets, servers that misbehave, projects in folders of their own."""
