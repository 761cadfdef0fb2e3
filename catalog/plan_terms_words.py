"""The sentences of plan terms, by language; `plan_terms` fills in the numbers."""

from __future__ import annotations

from catalog.plan_terms_french import FRENCH
from catalog.plan_terms_spanish import SPANISH
from catalog.typography import set_in_french

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "periods": "Billing periods",
        "period lasts": "A billing period lasts {interval}.",
        "period starts": "It begins at midnight in your subscription's time zone, on the day of the "
        "month (or week) on which your paid service began, or on the first day of the calendar "
        "month, quarter or year (a Monday for weeks) where we agreed on calendar periods.",
        "period short month": "In a month that lacks that day it begins on the month's last day.",
        "period half open": "It ends just before the next one begins: what happens at that instant "
        "belongs to the next.",
        "trial": "Your first {days} days are a trial: no fee is charged, and usage is shown to you "
        "but not charged. The first billing period begins after it.",
        "counted count": "We count every event of the type “{type}” that is about you.",
        "counted sum": "We add up “{property}” of every event of the type “{type}” that is about you.",
        "counted unique_count": "We count the different values of “{property}” in the events of the "
        "type “{type}” that are about you: a value that occurs twice in a period counts once.",
        "counted max level": "We take the highest “{property}” that events of the type “{type}” "
        "about you report within the period.",
        "counted max change": "Every event of the type “{type}” about you adds its “{property}” to a "
        "level; we take the highest that the level reaches within the period.",
        "counted latest level": "We take the last “{property}” that events of the type “{type}” about "
        "you report within the period.",
        "counted latest change": "Every event of the type “{type}” about you adds its “{property}” to "
        "a level; we take the level at the end of the period.",
        "counted time_weighted level period": "Events of the type “{type}” about you set a level "
        "(“{property}”). We multiply each level by the time it holds and divide by the length of the "
        "period: half a period at 10 counts 5 {units}.",
        "counted time_weighted change period": "Events of the type “{type}” about you change a level "
        "(by “{property}”). We multiply each level by the time it holds and divide by the length of "
        "the period: half a period at 10 counts 5 {units}.",
        "counted time_weighted level hour": "Events of the type “{type}” about you set a level "
        "(“{property}”). We multiply each level by the hours it holds: 10 for two hours counts 20 "
        "{units}.",
        "counted time_weighted change hour": "Events of the type “{type}” about you change a level "
        "(by “{property}”). We multiply each level by the hours it holds: 10 for two hours counts 20 "
        "{units}.",
        "only where": "Only usage counts for which {conditions}.",
        "not taken": "Usage that is charged under {names} is not charged here again.",
        "quoted": "“{name}”",
        "first fits": "Where several of these prices fit a unit, the first of them is its price.",
        "included in order": "What is included covers units in the order of these prices.",
        "filter eq": "“{name}” is {values}",
        "filter in": "“{name}” is one of {values}",
        "filter not_in": "“{name}” is none of {values}, or missing",
        "filter exists": "“{name}” is given",
        "filter gt": "“{name}” is more than {values}",
        "filter lt": "“{name}” is less than {values}",
        "and": " and ",
        "series": "This is done for each {names} on its own, and the results are added up.",
        "carry over": "A period begins with the level at which the one before it ended.",
        "divided": "The result is divided by {divisor} to give {units}.",
        "rounded": "The quantity of the whole period is rounded once, {how}, {to}, before anything "
        "included is subtracted.",
        "round half_up": "to the nearest (halves up)",
        "round up": "up",
        "round down": "down",
        "to whole": "to a whole number",
        "to decimals": "to {count} decimals",
        "costs": "Price, in {currency} {tax}: {rule}",
        "quantity": "The quantity is the one agreed for your subscription, 1 if none is. More of them "
        "are charged from the day they are added, for the rest of the period; fewer from the next "
        "period on.",
        "in advance": "It is charged in advance, at the start of every {interval}.",
        "in arrears": "It is charged afterwards, for every {interval} that ended.",
        "policy bill": "Use beyond what is included is charged as said; nothing is switched off.",
        "policy notify": "Use beyond what is included is charged as said, and you are told when you "
        "have used 80 % and 100 % of it.",
        "policy block": "When what is included is used up, our service may refuse further use. What "
        "was used all the same is charged as said.",
        "parts": "Parts of a period",
        "part days": "If your service begins or ends within a period, only your days count: whole "
        "days, as a fraction of all days of the period. The day on which you cancel is your last.",
        "part fee": "Fees are multiplied by that fraction.",
        "part usage": "Of usage prices, the included quantity, the bounds of tiers, fees of tiers, "
        "minimum and maximum are multiplied by that fraction (quantities rounded up); the price of "
        "a unit stays.",
        "part quantity": "A quantity that rises within a period is charged from its day on.",
        "part change": "If you change to another plan within a period, each plan is charged for its own "
        "days; the day of the change belongs to the new one. What you paid in advance for later days of "
        "the old one is credited. Where the new plan’s periods last longer or shorter, your running "
        "period ends with the change, and the next begins.",
        "part change none": "You can change to another plan at the end of a period.",
        "part refund": "If you cancel at once, what you paid in advance for the days after your last "
        "is credited on your next invoice, or by a credit note.",
        "part no refund": "If you cancel at once, what you paid in advance is not paid back. If you "
        "cancel at the end of a period, you are served until then.",
        "part change back": "If a change holds from a day that is billed already, your next invoice "
        "charges or credits the difference and names the period and the invoice.",
        "cancelled": "You can cancel at once or to the end of what is paid for, and take it back until "
        "your service ends. Your last invoice charges what you used until then.",
        "paused": "While your subscription is paused, no fee is charged and usage is not billed. What "
        "you paid in advance for those days is credited on your next invoice, or by a credit note.",
        "resumed": "When it goes on, the fee for the days that are left of the period is charged at its "
        "end. Periods begin on the same days as before.",
        "part none": "“{name}” is not reduced for a part of a period.",
        "usage": "How usage is counted",
        "no usage": "Nothing in this plan depends on usage.",
        "at its time": "Usage counts at the time at which it happened, not at which we learn of it.",
        "once": "Every event has an id of its own and counts once, however often it is sent.",
        "cutoff": "An invoice is drawn up once its period has ended, usually an hour later, and contains "
        "all usage that has reached us by then.",
        "late": "Usage that reaches us later, before the invoice is issued, is added to it. An "
        "invoice that is issued is never changed: what reaches us after that is on a later invoice, "
        "as the difference to what you would have paid had it come on time.",
        "failed": "An event that we can't assign or read is set aside and not charged. Once it is "
        "mended, it counts at the time at which it happened.",
        "corrected": "An event that was wrong is made void or corrected; the original stays on "
        "record. It then counts as corrected, or not at all.",
        "shown": "You see your usage day by day before an invoice is issued.",
        "invoice": "Your invoice",
        "commitment": "All charges for a period together come to at least {amount} {tax}; what "
        "is lacking is charged as “Minimum commitment”. What you buy once, beside this plan, does "
        "not count toward it. In a part of a period it is multiplied by the same fraction.",
        "commitment of several": "All charges for {interval} of your plan together come to at least "
        "{amount} {tax}; once it is over, what is lacking is charged as “Minimum commitment”. "
        "What you buy once, beside this plan, does not count toward it. If your service covers only "
        "a part of it, it is multiplied by that part, counted in whole days.",
        "line rounding": "Every line is rounded once, halves up, to the smallest coin of its "
        "currency; the steps above are exact. Every line shows how it came about.",
        "before tax": "before tax",
        "with tax": "with tax",
        "tax included": "Prices include tax: you pay them as they are, whatever the rate. The tax in "
        "them is calculated once per rate, on the sum of its lines; where none is due from us, as under "
        "reverse charge, the prices stay the same. You change only to plans whose prices include tax, "
        "too.",
        "tax": "Prices are before tax. Tax is calculated once per rate, on the sum of its lines.",
        "frozen": "These terms never change. Your subscription keeps them until you and we agree on "
        "others.",
        "new version": "A new version of this plan does not change yours by itself.",
        "questions": "Questions and disputes",
        "dispute": "If you think a line is wrong, write to us before the invoice is due.",
        "dispute to": "If you think a line is wrong, write to {contact} before the invoice is due.",
        "dispute how": "Name the invoice and the line. You pay the rest as usual; the line is "
        "explained or corrected.",
        "example": "Example: {used}",
        "payments": "{count} payments of 100 each",
        "each combination": "{count} {units} of each kind",
        "one period": "one whole period",
        "unit": "unit",
        "units": "units",
        "day": "day",
        "week": "week",
        "month": "month",
        "quarter": "quarter",
        "year": "year",
        "days": "days",
        "weeks": "weeks",
        "months": "months",
        "quarters": "quarters",
        "years": "years",
        "one": "one {interval}",
        "several": "{count} {interval}",
    },
    "de": {
        "periods": "Abrechnungszeiträume",
        "period lasts": "Dauer eines Abrechnungszeitraums: {interval}.",
        "period starts": "Er beginnt um Mitternacht in der Zeitzone Ihres Vertrags, an dem Tag des "
        "Monats (oder der Woche), an dem Ihre bezahlte Leistung begann, oder, wo wir "
        "Kalenderzeiträume vereinbart haben, am ersten Tag des Kalendermonats, Quartals oder Jahres "
        "(bei Wochen an einem Montag).",
        "period short month": "In einem Monat ohne diesen Tag beginnt er am letzten Tag des Monats.",
        "period half open": "Er endet unmittelbar vor dem Beginn des nächsten: Was in diesem "
        "Augenblick geschieht, gehört zum nächsten.",
        "trial": "Ihre ersten {days} Tage sind eine Probezeit: Es wird keine Gebühr berechnet, und "
        "Nutzung wird angezeigt, aber nicht berechnet. Danach beginnt der erste "
        "Abrechnungszeitraum.",
        "counted count": "Wir zählen jedes Ereignis der Art „{type}“, das Sie betrifft.",
        "counted sum": "Wir addieren „{property}“ aller Ereignisse der Art „{type}“, die Sie "
        "betreffen.",
        "counted unique_count": "Wir zählen die verschiedenen Werte von „{property}“ in den "
        "Ereignissen der Art „{type}“, die Sie betreffen: Ein Wert, der im Zeitraum zweimal "
        "vorkommt, zählt einmal.",
        "counted max level": "Wir nehmen den höchsten Wert „{property}“, den Ereignisse der Art "
        "„{type}“, die Sie betreffen, im Zeitraum melden.",
        "counted max change": "Jedes Ereignis der Art „{type}“, das Sie betrifft, erhöht einen Stand "
        "um „{property}“; wir nehmen den höchsten Stand im Zeitraum.",
        "counted latest level": "Wir nehmen den letzten Wert „{property}“, den Ereignisse der Art "
        "„{type}“, die Sie betreffen, im Zeitraum melden.",
        "counted latest change": "Jedes Ereignis der Art „{type}“, das Sie betrifft, erhöht einen "
        "Stand um „{property}“; wir nehmen den Stand am Ende des Zeitraums.",
        "counted time_weighted level period": "Ereignisse der Art „{type}“, die Sie betreffen, setzen "
        "einen Stand („{property}“). Wir multiplizieren jeden Stand mit der Zeit, in der er gilt, und "
        "teilen durch die Länge des Zeitraums: Ein halber Zeitraum mit 10 zählt 5 {units}.",
        "counted time_weighted change period": "Ereignisse der Art „{type}“, die Sie betreffen, "
        "ändern einen Stand (um „{property}“). Wir multiplizieren jeden Stand mit der Zeit, in der "
        "er gilt, und teilen durch die Länge des Zeitraums: Ein halber Zeitraum mit 10 zählt 5 "
        "{units}.",
        "counted time_weighted level hour": "Ereignisse der Art „{type}“, die Sie betreffen, setzen "
        "einen Stand („{property}“). Wir multiplizieren jeden Stand mit den Stunden, in denen er "
        "gilt: 10 für zwei Stunden zählt 20 {units}.",
        "counted time_weighted change hour": "Ereignisse der Art „{type}“, die Sie betreffen, ändern "
        "einen Stand (um „{property}“). Wir multiplizieren jeden Stand mit den Stunden, in denen er "
        "gilt: 10 für zwei Stunden zählt 20 {units}.",
        "only where": "Es zählt nur Nutzung, für die gilt: {conditions}.",
        "not taken": "Nutzung, die unter {names} berechnet wird, wird hier nicht noch einmal berechnet.",
        "quoted": "„{name}“",
        "first fits": "Passen mehrere dieser Preise auf eine Einheit, gilt der erste davon.",
        "included in order": "Was enthalten ist, deckt Einheiten in der Reihenfolge dieser Preise ab.",
        "filter eq": "„{name}“ ist {values}",
        "filter in": "„{name}“ ist eines von {values}",
        "filter not_in": "„{name}“ ist keines von {values} oder fehlt",
        "filter exists": "„{name}“ ist angegeben",
        "filter gt": "„{name}“ ist größer als {values}",
        "filter lt": "„{name}“ ist kleiner als {values}",
        "and": " und ",
        "series": "Das geschieht für jedes {names} einzeln; die Ergebnisse werden addiert.",
        "carry over": "Ein Zeitraum beginnt mit dem Stand, mit dem der vorige endete.",
        "divided": "Das Ergebnis wird durch {divisor} geteilt und ergibt {units}.",
        "rounded": "Die Menge des ganzen Zeitraums wird einmal gerundet, {how}, {to}, bevor etwas "
        "Enthaltenes abgezogen wird.",
        "round half_up": "kaufmännisch",
        "round up": "nach oben",
        "round down": "nach unten",
        "to whole": "auf eine ganze Zahl",
        "to decimals": "auf {count} Nachkommastellen",
        "costs": "Preis, in {currency} {tax}: {rule}",
        "quantity": "Die Menge ist die für Ihren Vertrag vereinbarte, sonst 1. Mehr davon werden ab "
        "dem Tag berechnet, an dem sie hinzukommen, für den Rest des Zeitraums; weniger ab dem "
        "nächsten Zeitraum.",
        "in advance": "Berechnet wird im Voraus, jeweils zu Beginn (Rhythmus: {interval}).",
        "in arrears": "Berechnet wird im Nachhinein, jeweils nach Ablauf (Rhythmus: {interval}).",
        "policy bill": "Nutzung über das Enthaltene hinaus wird wie beschrieben berechnet; nichts "
        "wird abgeschaltet.",
        "policy notify": "Nutzung über das Enthaltene hinaus wird wie beschrieben berechnet, und Sie "
        "erfahren, wenn Sie 80 % und 100 % davon genutzt haben.",
        "policy block": "Ist das Enthaltene verbraucht, kann unser Dienst weitere Nutzung ablehnen. "
        "Was dennoch genutzt wurde, wird wie beschrieben berechnet.",
        "parts": "Teile eines Zeitraums",
        "part days": "Beginnt oder endet Ihre Leistung innerhalb eines Zeitraums, zählen nur Ihre "
        "Tage: ganze Tage, als Bruchteil aller Tage des Zeitraums. Der Tag Ihrer Kündigung ist Ihr "
        "letzter.",
        "part fee": "Gebühren werden mit diesem Bruchteil multipliziert.",
        "part usage": "Bei Nutzungspreisen werden Inklusivmenge, Staffelgrenzen, Staffelgebühren, "
        "Mindest- und Höchstbetrag mit diesem Bruchteil multipliziert (Mengen aufgerundet); der "
        "Preis einer Einheit bleibt.",
        "part quantity": "Eine Menge, die innerhalb eines Zeitraums steigt, wird ab ihrem Tag "
        "berechnet.",
        "part change": "Wechseln Sie innerhalb eines Zeitraums in einen anderen Tarif, wird jeder Tarif "
        "für seine eigenen Tage berechnet; der Tag des Wechsels gehört zum neuen. Im Voraus Gezahltes "
        "für spätere Tage des alten wird gutgeschrieben. Dauern die Zeiträume des neuen Tarifs länger "
        "oder kürzer, endet Ihr laufender Zeitraum mit dem Wechsel, und der nächste beginnt.",
        "part change none": "Sie können am Ende eines Zeitraums in einen anderen Tarif wechseln.",
        "part refund": "Kündigen Sie mit sofortiger Wirkung, wird Ihnen im Voraus Gezahltes für die "
        "Tage nach Ihrem letzten auf Ihrer nächsten Rechnung oder durch eine Rechnungskorrektur "
        "gutgeschrieben.",
        "part no refund": "Kündigen Sie mit sofortiger Wirkung, wird im Voraus Gezahltes nicht "
        "erstattet. Kündigen Sie zum Ende eines Zeitraums, gilt unsere Leistung bis dahin.",
        "part change back": "Gilt ein Wechsel ab einem Tag, der schon berechnet ist, so berechnet oder "
        "vergütet Ihre nächste Rechnung den Unterschied und nennt Zeitraum und Rechnung.",
        "cancelled": "Sie können mit sofortiger Wirkung oder zum Ende des bezahlten Zeitraums kündigen "
        "und die Kündigung zurücknehmen, bis Ihr Vertrag endet. Ihre letzte Rechnung enthält, was Sie "
        "bis dahin genutzt haben.",
        "paused": "Solange Ihr Vertrag ruht, wird keine Gebühr und keine Nutzung berechnet. Für diese "
        "Tage im Voraus Gezahltes wird auf Ihrer nächsten Rechnung oder durch eine Rechnungskorrektur "
        "gutgeschrieben.",
        "resumed": "Geht er weiter, wird die Gebühr für die übrigen Tage des Zeitraums an dessen Ende "
        "berechnet. Die Zeiträume beginnen an denselben Tagen wie zuvor.",
        "part none": "„{name}“ wird für einen Teil eines Zeitraums nicht gekürzt.",
        "usage": "Wie Nutzung gezählt wird",
        "no usage": "In diesem Tarif hängt nichts von Nutzung ab.",
        "at its time": "Nutzung zählt zu dem Zeitpunkt, zu dem sie stattfand, nicht zu dem, an dem "
        "wir davon erfahren.",
        "once": "Jedes Ereignis hat eine eigene Kennung und zählt einmal, wie oft es auch gesendet "
        "wird.",
        "cutoff": "Eine Rechnung wird nach Ende ihres Zeitraums erstellt, meist eine Stunde danach, und "
        "enthält alle Nutzung, die uns bis dahin erreicht hat.",
        "late": "Nutzung, die uns später, aber vor dem Ausstellen der Rechnung erreicht, kommt noch "
        "hinzu. Eine ausgestellte Rechnung wird nie geändert: Was uns danach erreicht, steht auf einer "
        "späteren Rechnung, als Unterschied zu dem, was Sie rechtzeitig gezahlt hätten.",
        "failed": "Ein Ereignis, das wir nicht zuordnen oder lesen können, wird zurückgelegt und "
        "nicht berechnet. Ist es berichtigt, zählt es zu dem Zeitpunkt, zu dem es stattfand.",
        "corrected": "Ein falsches Ereignis wird ungültig gemacht oder berichtigt; das Original "
        "bleibt aufbewahrt. Es zählt dann wie berichtigt oder gar nicht.",
        "shown": "Sie sehen Ihre Nutzung Tag für Tag, bevor eine Rechnung ausgestellt wird.",
        "invoice": "Ihre Rechnung",
        "commitment": "Alle Posten eines Zeitraums betragen zusammen mindestens {amount} {tax}; "
        "was fehlt, wird als „Mindestabnahme“ berechnet. Was Sie einmalig neben diesem Tarif kaufen, "
        "zählt dazu nicht. In einem Teil eines Zeitraums wird sie mit demselben Bruchteil "
        "multipliziert.",
        "commitment of several": "Sobald {interval} Ihres Tarifs vorbei ist, werden alle Posten dafür "
        "zusammengezählt: Sie betragen mindestens {amount} {tax}; was fehlt, wird als "
        "„Mindestabnahme“ berechnet. Was Sie einmalig neben diesem Tarif kaufen, zählt dazu nicht. "
        "Umfasst Ihr Vertrag nur einen Teil davon, wird sie mit diesem Teil, in ganzen Tagen "
        "gezählt, multipliziert.",
        "line rounding": "Jeder Posten wird einmal kaufmännisch auf die kleinste Münze der Währung "
        "gerundet; die Schritte davor sind exakt. Jeder Posten zeigt, wie er zustande kam.",
        "before tax": "vor Steuern",
        "with tax": "mit Steuern",
        "tax included": "Die Preise enthalten die Steuer: Sie zahlen sie so, wie sie dastehen, bei "
        "jedem Satz. Die Steuer darin wird je Satz einmal aus der Summe der Posten berechnet; schulden "
        "wir keine, etwa bei Umkehr der Steuerschuld, bleiben die Preise gleich. Sie wechseln nur in "
        "Tarife, deren Preise ebenfalls die Steuer enthalten.",
        "tax": "Preise verstehen sich vor Steuern. Steuer wird je Satz einmal auf die Summe der "
        "Posten berechnet.",
        "frozen": "Diese Bedingungen ändern sich nie. Ihr Vertrag behält sie, bis Sie und wir andere "
        "vereinbaren.",
        "new version": "Eine neue Fassung dieses Tarifs ändert Ihre nicht von selbst.",
        "questions": "Fragen und Einwände",
        "dispute": "Halten Sie einen Posten für falsch, schreiben Sie uns, bevor die Rechnung fällig "
        "ist.",
        "dispute to": "Halten Sie einen Posten für falsch, schreiben Sie an {contact}, bevor die "
        "Rechnung fällig ist.",
        "dispute how": "Nennen Sie die Rechnung und den Posten. Den Rest zahlen Sie wie gewohnt; der "
        "Posten wird erklärt oder berichtigt.",
        "example": "Beispiel: {used}",
        "payments": "{count} Zahlungen zu je 100",
        "each combination": "je {count} {units} jeder Art",
        "one period": "ein ganzer Zeitraum",
        "unit": "Einheit",
        "units": "Einheiten",
        "day": "ein Tag",
        "week": "eine Woche",
        "month": "ein Monat",
        "quarter": "ein Quartal",
        "year": "ein Jahr",
        "days": "Tage",
        "weeks": "Wochen",
        "months": "Monate",
        "quarters": "Quartale",
        "years": "Jahre",
        "one": "{interval}",
        "several": "{count} {interval}",
    },
}

WORDS["fr"], WORDS["es"] = set_in_french(FRENCH), SPANISH
