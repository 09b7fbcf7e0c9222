"""The one exception for mistakes that a person can mend."""


class CourseError(Exception):
    """A problem whose message is one clear sentence that says what to do.

    The command line prints it and exits with 2; a notebook shows it without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        # IPython calls this instead of printing frames the reader cannot use.
        return [str(self)]
