"""An exact commit of the project as a verified Git bundle, and back."""
