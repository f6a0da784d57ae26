namespace Penstock.Devices;

/// <summary>What a measuring operation repeats.</summary>
internal enum BenchOperation : uint
{
    None = 0,

    /// <summary>Look an address up.</summary>
    Translate = 1,

    /// <summary>Read memory by message.</summary>
    ReadByMessage = 2,

    /// <summary>Write memory by message.</summary>
    WriteByMessage = 3,

    /// <summary>Look an address up, take the memory and give it back.</summary>
    TranslateGetPut = 4,
}
