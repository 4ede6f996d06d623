"""OpenAPI documents of the API, made from the types in `api`: definitions, operations, and the forms they travel in. Pure."""
