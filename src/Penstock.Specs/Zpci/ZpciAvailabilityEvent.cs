namespace Penstock.Specs.Zpci;

/// <summary>Codes of availability events, which tell a guest of plugs and unplugs.</summary>
public enum ZpciAvailabilityEvent : ushort
{
    /// <summary>The function is configured.</summary>
    Configured = 0x0301,

    /// <summary>The function was plugged and is in standby.</summary>
    ReservedToStandby = 0x0302,

    /// <summary>The guest is asked to deconfigure the function.</summary>
    DeconfigureRequest = 0x0303,

    /// <summary>A configured function went to standby, or is gone.</summary>
    ConfiguredToStandby = 0x0304,

    /// <summary>A function in standby was unplugged.</summary>
    StandbyToReserved = 0x0308,
}
