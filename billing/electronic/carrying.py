"""How a PDF carries its invoice as XML: Factur-X in PDF/A-3b, which is for archives, too.

What is given here are WeasyPrint's own objects; only `billing.documents` imports that.
"""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from typing import Any, NamedTuple

from django.template.loader import render_to_string
from pypdf import PdfReader

XML_NAME = "factur-x.xml"


class Carried(NamedTuple):
    """The XML that a PDF carries, and when the invoice was issued."""

    xml: bytes
    dated: datetime


def carry(metadata: Any, carried: Carried, *, attachment: Any) -> None:
    """Put the XML beside the paper as the same invoice, and say in the metadata what it is."""
    metadata.attachments.append(
        attachment(
            file_obj=BytesIO(carried.xml),
            name=XML_NAME,
            description="The invoice as XML (EN 16931)",
            created=carried.dated,
            modified=carried.dated,
            relationship="Alternative",
        )
    )
    write = metadata.generate_rdf_metadata
    told = render_to_string("invoice/factur_x.xml").encode()

    def with_factur_x(*args: Any) -> bytes:
        rdf: bytes = write(*args)
        return rdf.replace(b"</rdf:RDF>", told + b"</rdf:RDF>")

    metadata.generate_rdf_metadata = with_factur_x


def name_each_file_once(document: Any, pdf: Any) -> None:
    """Drop the second mention of each file that goes with a PDF/A, as its catalogue gets two."""
    if files := pdf.catalog.get("AF"):
        files[:] = dict.fromkeys(files)


def xml_in(pdf: bytes) -> bytes:
    """Return the XML that the PDF of an electronic invoice carries."""
    [xml] = PdfReader(BytesIO(pdf)).attachments[XML_NAME]
    return xml
