using Penstock.Interop;

namespace Penstock.VfioUser;

/// <summary>What came back.</summary>
internal struct ClientReply
{
    /// <summary>Bytes of payload.</summary>
    public int Length;

    /// <summary>Whether the error is the server's own.</summary>
    public bool IsRefusal;

    /// <summary>Descriptors that came, as many as were wanted at most; the caller owns them. Null for none.</summary>
    public OwnedDescriptor[]? Descriptors;

    /// <summary>What is wrong, for an error that is not the server's.</summary>
    public string? Problem;
}
