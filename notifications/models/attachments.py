"""What goes with an e-mail."""

from django.db import models

from .notification import Notification


class Attachment(models.Model):
    """The bytes that go with an e-mail; its notification's content tells what they are.

    Read for an attempt of a notification that has any, and by nobody else. They stay as long as it
    does, for it may be sent again.
    """

    id = models.BigAutoField(primary_key=True)
    notification = models.ForeignKey(
        Notification, on_delete=models.CASCADE, related_name="attachments", db_index=False
    )
    position = models.PositiveSmallIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(
                fields=("notification", "position"), name="notifications_attachment_position"
            ),
        )

    def __str__(self) -> str:
        return f"attachment {self.position}"
