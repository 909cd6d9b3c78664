"""An admin site of its own, in the place of Django's, and a second one beside it."""

from django.contrib import admin
from django.contrib.admin.apps import AdminConfig


class ShopAdminConfig(AdminConfig):
    default_site = "shop.admin.ShopAdmin"


class ShopAdmin(admin.AdminSite):
    site_header = "The shop"


support = admin.AdminSite(name="support")
