"""A user model with nothing that Django's own has."""

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models


class Person(AbstractBaseUser, PermissionsMixin):
    handle = models.SlugField(primary_key=True)
    contact = models.EmailField()
    phone = models.CharField(max_length=20, blank=True)
    is_staff = models.BooleanField(default=False)

    USERNAME_FIELD = "handle"
    EMAIL_FIELD = "contact"

    objects = BaseUserManager()


def phone_of(person: Person) -> str:
    return person.phone
