"""The sentences of plan terms in French."""

from __future__ import annotations

FRENCH: dict[str, str] = {
    "periods": "Périodes de facturation",
    "period lasts": "Durée d’une période de facturation : {interval}.",
    "period starts": "Elle commence à minuit dans le fuseau horaire de votre abonnement, le jour du mois "
    "(ou de la semaine) où votre service payant a commencé, ou bien, si nous avons convenu de périodes "
    "civiles, le premier jour du mois, du trimestre ou de l’année (un lundi pour les semaines).",
    "period short month": "Dans un mois qui n’a pas ce jour, elle commence le dernier jour du mois.",
    "period half open": "Elle se termine juste avant le début de la suivante : ce qui a lieu à cet "
    "instant appartient à la suivante.",
    "trial": "Vos {days} premiers jours sont un essai : aucuns frais ne sont facturés, et votre usage vous "
    "est montré sans être facturé. La première période de facturation commence ensuite.",
    "counted count": "Nous comptons chaque événement du type « {type} » qui vous concerne.",
    "counted sum": "Nous additionnons « {property} » de tous les événements du type « {type} » qui vous "
    "concernent.",
    "counted unique_count": "Nous comptons les valeurs différentes de « {property} » dans les événements "
    "du type « {type} » qui vous concernent : une valeur présente deux fois dans une période compte une "
    "fois.",
    "counted max level": "Nous retenons la plus haute valeur « {property} » que signalent, dans la "
    "période, les événements du type « {type} » qui vous concernent.",
    "counted max change": "Chaque événement du type « {type} » qui vous concerne ajoute « {property} » à "
    "un niveau ; nous retenons le plus haut niveau atteint dans la période.",
    "counted latest level": "Nous retenons la dernière valeur « {property} » que signalent, dans la "
    "période, les événements du type « {type} » qui vous concernent.",
    "counted latest change": "Chaque événement du type « {type} » qui vous concerne ajoute "
    "« {property} » à un niveau ; nous retenons le niveau à la fin de la période.",
    "counted time_weighted level period": "Les événements du type « {type} » qui vous concernent fixent "
    "un niveau (« {property} »). Nous multiplions chaque niveau par le temps pendant lequel il vaut et "
    "divisons par la durée de la période : une demi-période à 10 compte 5 {units}.",
    "counted time_weighted change period": "Les événements du type « {type} » qui vous concernent "
    "modifient un niveau (de « {property} »). Nous multiplions chaque niveau par le temps pendant lequel "
    "il vaut et divisons par la durée de la période : une demi-période à 10 compte 5 {units}.",
    "counted time_weighted level hour": "Les événements du type « {type} » qui vous concernent fixent un "
    "niveau (« {property} »). Nous multiplions chaque niveau par les heures pendant lesquelles il vaut : "
    "10 pendant deux heures comptent 20 {units}.",
    "counted time_weighted change hour": "Les événements du type « {type} » qui vous concernent modifient "
    "un niveau (de « {property} »). Nous multiplions chaque niveau par les heures pendant lesquelles il "
    "vaut : 10 pendant deux heures comptent 20 {units}.",
    "only where": "Seul compte l’usage pour lequel {conditions}.",
    "not taken": "L’usage facturé sous {names} n’est pas facturé ici une seconde fois.",
    "quoted": "« {name} »",
    "first fits": "Si plusieurs de ces prix conviennent à une unité, le premier d’entre eux est le sien.",
    "included in order": "Ce qui est inclus couvre les unités dans l’ordre de ces prix.",
    "filter eq": "« {name} » est {values}",
    "filter in": "« {name} » est l’une de ces valeurs : {values}",
    "filter not_in": "« {name} » n’est aucune de ces valeurs, ou manque : {values}",
    "filter exists": "« {name} » est indiqué",
    "filter gt": "« {name} » est supérieur à {values}",
    "filter lt": "« {name} » est inférieur à {values}",
    "and": " et ",
    "series": "Cela se fait pour chaque {names} séparément, et les résultats sont additionnés.",
    "carry over": "Une période commence au niveau où la précédente s’est terminée.",
    "divided": "Le résultat est divisé par {divisor} pour donner des {units}.",
    "rounded": "La quantité de toute la période est arrondie une fois, {how}, {to}, avant que ce qui est "
    "inclus en soit déduit.",
    "round half_up": "au plus proche (les demis vers le haut)",
    "round up": "vers le haut",
    "round down": "vers le bas",
    "to whole": "à un nombre entier",
    "to decimals": "à {count} décimales",
    "costs": "Prix, en {currency} {tax} : {rule}",
    "quantity": "La quantité est celle convenue pour votre abonnement, 1 à défaut. Une hausse est facturée "
    "dès le jour où elle a lieu, pour le reste de la période ; une baisse, à partir de la période suivante.",
    "in advance": "Facturé d’avance, au début (rythme : {interval}).",
    "in arrears": "Facturé à terme échu (rythme : {interval}).",
    "policy bill": "L’usage au-delà de ce qui est inclus est facturé comme indiqué ; rien n’est coupé.",
    "policy notify": "L’usage au-delà de ce qui est inclus est facturé comme indiqué, et vous êtes "
    "prévenu lorsque vous en avez utilisé 80 % et 100 %.",
    "policy block": "Quand ce qui est inclus est épuisé, notre service peut refuser la suite. Ce qui a "
    "tout de même été utilisé est facturé comme indiqué.",
    "parts": "Parties d’une période",
    "part days": "Si votre service commence ou se termine au cours d’une période, seuls vos jours comptent : "
    "des jours entiers, en fraction de tous les jours de la période. Le jour de votre résiliation est le "
    "dernier.",
    "part fee": "Les frais sont multipliés par cette fraction.",
    "part usage": "Pour les prix à l’usage, la quantité incluse, les limites et les frais des tranches, le "
    "minimum et le maximum sont multipliés par cette fraction (les quantités, arrondies vers le haut) ; le "
    "prix d’une unité reste le même.",
    "part quantity": "Une quantité qui augmente au cours d’une période est facturée à partir de son jour.",
    "part change": "Si vous changez de formule au cours d’une période, chaque formule est facturée pour ses "
    "propres jours ; le jour du changement appartient à la nouvelle. Ce que vous avez payé d’avance pour "
    "des jours ultérieurs de l’ancienne vous est crédité. Si les périodes de la nouvelle formule sont plus "
    "longues ou plus courtes, votre période en cours se termine avec le changement, et la suivante commence.",
    "part change none": "Vous pouvez changer de formule à la fin d’une période.",
    "part refund": "Si vous résiliez avec effet immédiat, ce que vous avez payé d’avance pour les jours "
    "après votre dernier vous est crédité, sur votre prochaine facture ou par un avoir.",
    "part no refund": "Si vous résiliez avec effet immédiat, ce que vous avez payé d’avance n’est pas "
    "remboursé. Si vous résiliez pour la fin d’une période, vous êtes servi jusque-là.",
    "part change back": "Si un changement vaut à partir d’un jour déjà facturé, votre prochaine facture "
    "facture ou crédite la différence et nomme la période et la facture.",
    "cancelled": "Vous pouvez résilier avec effet immédiat ou pour la fin de ce qui est payé, et revenir "
    "sur votre décision jusqu’à la fin de votre service. Votre dernière facture porte sur ce que vous avez "
    "utilisé jusque-là.",
    "paused": "Tant que votre abonnement est suspendu, ni frais ni usage ne sont facturés. Ce que vous avez "
    "payé d’avance pour ces jours vous est crédité, sur votre prochaine facture ou par un avoir.",
    "resumed": "Quand il reprend, les frais pour les jours qui restent de la période sont facturés à sa fin. "
    "Les périodes commencent aux mêmes jours qu’avant.",
    "part none": "« {name} » n’est pas réduit pour une partie de période.",
    "usage": "Comment l’usage est compté",
    "no usage": "Rien dans cette formule ne dépend de l’usage.",
    "at its time": "L’usage compte au moment où il a eu lieu, et non à celui où nous l’apprenons.",
    "once": "Chaque événement a son propre identifiant et compte une fois, quel que soit le nombre d’envois.",
    "cutoff": "Une facture est établie une fois sa période terminée, en général une heure après, et contient "
    "tout l’usage qui nous est parvenu jusque-là.",
    "late": "L’usage qui nous parvient plus tard, avant l’émission de la facture, y est ajouté. Une facture "
    "émise n’est jamais modifiée : ce qui nous parvient ensuite figure sur une facture ultérieure, comme "
    "différence avec ce que vous auriez payé s’il était arrivé à temps.",
    "failed": "Un événement que nous ne pouvons ni attribuer ni lire est mis de côté et n’est pas facturé. "
    "Une fois corrigé, il compte au moment où il a eu lieu.",
    "corrected": "Un événement erroné est annulé ou corrigé ; l’original est conservé. Il compte alors tel "
    "que corrigé, ou pas du tout.",
    "shown": "Vous voyez votre usage jour par jour avant qu’une facture soit émise.",
    "invoice": "Votre facture",
    "commitment": "L’ensemble de ce qui est facturé pour une période s’élève à au moins {amount} {tax} ; ce "
    "qui manque est facturé comme « Engagement minimum ». Ce que vous achetez une seule fois, en plus de "
    "cette formule, n’y compte pas. Pour une partie de période, il est multiplié par la même fraction.",
    "commitment of several": "Ce qui est facturé en tout pour cette durée de votre formule ({interval}) "
    "s’élève à au moins {amount} {tax} ; une fois qu’elle est écoulée, ce qui manque est facturé comme "
    "« Engagement minimum ». Ce que vous achetez une seule fois, en plus de cette formule, n’y compte pas. "
    "Si votre service n’en couvre qu’une partie, il est multiplié par cette partie, en jours entiers.",
    "line rounding": "Chaque ligne est arrondie une fois, les demis vers le haut, à la plus petite pièce de "
    "sa devise ; les étapes qui précèdent sont exactes. Chaque ligne montre comment elle se compose.",
    "before tax": "hors taxes",
    "with tax": "taxes comprises",
    "tax included": "Les prix comprennent la taxe : vous les payez tels quels, quel que soit le taux. La taxe "
    "qu’ils contiennent est calculée une fois par taux, sur la somme de ses lignes ; si nous n’en devons "
    "aucune, comme en autoliquidation, les prix restent les mêmes. Vous ne passez qu’à des formules dont les "
    "prix comprennent eux aussi la taxe.",
    "tax": "Les prix s’entendent hors taxes. La taxe est calculée une fois par taux, sur la somme de ses "
    "lignes.",
    "frozen": "Ces conditions ne changent jamais. Votre abonnement les garde jusqu’à ce que vous et nous "
    "convenions d’autres.",
    "new version": "Une nouvelle version de cette formule ne change pas la vôtre d’elle-même.",
    "questions": "Questions et contestations",
    "dispute": "Si vous pensez qu’une ligne est fausse, écrivez-nous avant l’échéance de la facture.",
    "dispute to": "Si vous pensez qu’une ligne est fausse, écrivez à {contact} avant l’échéance de la "
    "facture.",
    "dispute how": "Nommez la facture et la ligne. Vous payez le reste comme d’habitude ; la ligne est "
    "expliquée ou corrigée.",
    "example": "Exemple : {used}",
    "payments": "{count} paiements de 100 chacun",
    "each combination": "{count} {units} de chaque sorte",
    "one period": "une période entière",
    "unit": "unité",
    "units": "unités",
    "day": "un jour",
    "week": "une semaine",
    "month": "un mois",
    "quarter": "un trimestre",
    "year": "un an",
    "days": "jours",
    "weeks": "semaines",
    "months": "mois",
    "quarters": "trimestres",
    "years": "ans",
    "one": "{interval}",
    "several": "{count} {interval}",
}
