"""The names of cultures in BLEnD, CulturalBench and NormAd."""

BLEND = (
    "Algeria Assam Azerbaijan China Ethiopia Greece Indonesia Iran Mexico North_Korea "
    "Northern_Nigeria South_Korea Spain UK US West_Java"
).split()
CULTURALBENCH = (
    "Argentina,Australia,Bangladesh,Brazil,Canada,Chile,China,Czech Republic,Egypt,France,Germany,"
    "Hong Kong,India,Indonesia,Iran,Israel,Italy,Japan,Lebanon,Malaysia,Mexico,Morocco,Nepal,"
    "Netherlands,New Zealand,Nigeria,Pakistan,Peru,Philippines,Poland,Romania,Russia,Saudi Arabia,"
    "Singapore,South Africa,South Korea,Spain,Taiwan,Thailand,Turkey,Ukraine,United Kingdom,"
    "United States,Vietnam,Zimbabwe"
).split(",")
NORMAD = (
    "afghanistan argentina australia austria bangladesh bosnia_and_herzegovina brazil cambodia "
    "canada chile china colombia croatia cyprus egypt ethiopia fiji france germany greece "
    "hong_kong hungary india indonesia iran iraq ireland israel italy japan kenya laos lebanon "
    "malaysia malta mauritius mexico myanmar nepal netherlands new_zealand north_macedonia "
    "pakistan palestinian_territories papua_new_guinea peru philippines poland portugal romania "
    "russia samoa saudi_arabia serbia singapore somalia south_africa south_korea south_sudan spain "
    "sri_lanka sudan sweden syria taiwan thailand timor-leste tonga türkiye ukraine united_kingdom "
    "united_states_of_america venezuela vietnam zimbabwe"
).split()
REGIONS = {"Assam", "Northern_Nigeria", "West_Java"}
