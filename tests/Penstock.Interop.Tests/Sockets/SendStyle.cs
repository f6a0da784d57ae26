namespace Penstock.Interop.Tests.Sockets;

/// <summary>How a sender cuts one message into calls, and which of them carries its descriptors.</summary>
public enum SendStyle
{
    /// <summary>One call.</summary>
    Whole,

    /// <summary>The header with the descriptors, then the body.</summary>
    HeaderFirst,

    /// <summary>Three bytes with the descriptors, then the rest.</summary>
    ThreeBytesFirst,

    /// <summary>Three bytes with the descriptors, the rest of the header, the body in two.</summary>
    FourCalls,

    /// <summary>Three bytes without, then the rest with the descriptors: still on the header's bytes.</summary>
    DescriptorsOnSecondCall,

    /// <summary>The header without, then the body with the descriptors, which breaks the rule of the protocol.</summary>
    DescriptorsOnBody,
}
