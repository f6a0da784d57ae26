namespace Penstock.Specs.Zpci;

/// <summary>Content codes of the blocks in a response to store event information.</summary>
public enum ZpciEventContent : byte
{
    /// <summary><see cref="ZpciErrorEventBlock"/>.</summary>
    Error = 1,

    /// <summary><see cref="ZpciAvailabilityEventBlock"/>.</summary>
    Availability = 2,
}
