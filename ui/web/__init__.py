"""The studio in the browser. `app.build_app` puts the page together, `site.create_site` serves it."""
