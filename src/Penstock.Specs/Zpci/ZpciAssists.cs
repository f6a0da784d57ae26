namespace Penstock.Specs.Zpci;

/// <summary>What the machine can do for guests with zPCI functions, as byte 118 of the SCLP's read-info answer says it.</summary>
[Flags]
public enum ZpciAssists : byte
{
    /// <summary>Nothing: every guest's instruction and interruption is the host's.</summary>
    None = 0,

    /// <summary>Loads and stores of guests (zPCI load/store interpretation).</summary>
    LoadStore = 0x01,

    /// <summary>Guest interruption state areas have format 1.</summary>
    GisaFormat1 = 0x08,

    /// <summary>Suppression of adapter interruptions for guests (AISI).</summary>
    Suppression = 0x10,

    /// <summary>Adapter event notification for guests (AENI).</summary>
    EventNotification = 0x20,

    /// <summary>The guest's own instructions for that suppression (AISII).</summary>
    SuppressionInitiation = 0x40,

    /// <summary>All that interpretation needs.</summary>
    Interpretation = LoadStore | Suppression | EventNotification | SuppressionInitiation,

    /// <summary>Everything.</summary>
    All = Interpretation | GisaFormat1,
}
