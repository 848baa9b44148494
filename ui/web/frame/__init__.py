"""What all tabs are built with: the shell around them, widgets that scripts draw, sentences for errors, colours."""
