namespace Penstock.Specs.Zpci;

/// <summary>Answers to the service calls that configure a function and take it back (SCLP response codes).</summary>
public enum ZpciSclpResponse : ushort
{
    /// <summary>Done.</summary>
    Done = 0x0020,

    /// <summary>The function is in that state already.</summary>
    NoActionRequired = 0x0120,

    /// <summary>The function is reserved.</summary>
    InReservedState = 0x05f0,

    /// <summary>There is no such function.</summary>
    NotRecognized = 0x09f0,
}
