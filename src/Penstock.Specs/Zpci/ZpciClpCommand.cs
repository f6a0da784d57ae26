namespace Penstock.Specs.Zpci;

/// <summary>Commands of CLP.</summary>
public enum ZpciClpCommand : ushort
{
    /// <summary>List the functions.</summary>
    ListPci = 0x0002,

    /// <summary>Query a function.</summary>
    QueryFunction = 0x0003,

    /// <summary>Query a group of functions.</summary>
    QueryGroup = 0x0004,

    /// <summary>Enable or disable a function.</summary>
    SetFunction = 0x0005,
}
