"""The API server: every verb over plain values, and gRPC around it. The only way in for anybody."""
