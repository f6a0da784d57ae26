using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>One call of CLP: a request and the answer behind it, in one block of guest memory.</summary>
/// <param name="bus">The guest's functions.</param>
internal readonly ref struct ZpciClp(ZpciBus bus)
{
    // Lengths and code of either half; all that is looked at before the halves are known to be possible.
    private const int HeadLength = 8;
    private const int LeastListResponse = ZpciClpListResponse.Length + ZpciClpListEntry.Length;

    /// <summary>Checks the block and answers.</summary>
    public ZpciResult Call(ulong operand)
    {
        // One copy of each byte is taken and looked at; what the guest changes meanwhile does not matter.
        Span<byte> request = stackalloc byte[ZpciLimits.MaximumClpBlock];
        if (bus.Machine.Memory.Read(operand, request[..HeadLength]) != Errno.None)
        {
            return ZpciResult.Interrupted(operand, ZpciProgramException.Addressing);
        }

        int length = BinaryPrimitives.ReadUInt16BigEndian(request);
        if (!IsPossible(length, ZpciLimits.MinimumClpRequest, ZpciLimits.MaximumClpRequest))
        {
            return ZpciResult.Interrupted(operand, ZpciProgramException.Operand);
        }

        if (bus.Machine.Memory.Read(operand + HeadLength, request[HeadLength..(length + HeadLength)]) != Errno.None)
        {
            return ZpciResult.Interrupted(operand, ZpciProgramException.Addressing);
        }

        int room = BinaryPrimitives.ReadUInt16BigEndian(request[length..]);
        if (!IsPossible(room, ZpciLimits.MinimumClpResponse, ZpciLimits.MaximumClpResponse) || length + room > ZpciLimits.MaximumClpBlock)
        {
            return ZpciResult.Interrupted(operand, ZpciProgramException.Operand);
        }

        Span<byte> answer = stackalloc byte[ZpciLimits.MaximumClpResponse];
        answer.Clear();
        var clp = new Answer(answer, (ushort)room);
        ZpciConditionCode code = length == ZpciLimits.ClpRequest
            ? Dispatch(request[..length], ref clp)
            : clp.Refuse(ZpciClpResponse.BadLength);

        // What does not fit into the guest's room is left out.
        return bus.Machine.Memory.Write(operand + (ulong)length, answer[..Math.Min(clp.Written, room)]) == Errno.None
            ? new ZpciResult(code, operand, ZpciProgramException.None)
            : ZpciResult.Interrupted(operand, ZpciProgramException.Addressing);
    }

    private static bool IsPossible(int length, int least, int most) => length >= least && length <= most && length % ZpciLimits.ClpAlignment == 0;

    private ZpciConditionCode Dispatch(ReadOnlySpan<byte> request, ref Answer answer) => (ZpciClpCommand)ZpciClpHeader.Read(request).Code switch
    {
        ZpciClpCommand.ListPci => List(ZpciClpListRequest.Read(request), ref answer),
        ZpciClpCommand.QueryFunction => Query(ZpciClpQueryRequest.Read(request), ref answer),
        ZpciClpCommand.QueryGroup => QueryGroup(ZpciClpQueryRequest.Read(request), ref answer),
        ZpciClpCommand.SetFunction => Set(ZpciClpSetRequest.Read(request), ref answer),
        _ => answer.Refuse(ZpciClpResponse.UnknownCommand),
    };

    private ZpciConditionCode List(in ZpciClpListRequest request, ref Answer answer)
    {
        if (request.Header.Format != 0)
        {
            return answer.Refuse(ZpciClpResponse.BadFormat);
        }

        if (!request.Header.IsReservedZero)
        {
            return answer.Refuse(ZpciClpResponse.ReservedNotZero);
        }

        IReadOnlyList<ZpciGuestFunction> functions = bus.Functions;
        if (!TryFindStart(functions, request.ResumeToken, out int at))
        {
            return answer.Refuse(ZpciClpResponse.BadResumeToken);
        }

        if (answer.Room < LeastListResponse)
        {
            return answer.Refuse(ZpciClpResponse.Needs8K);
        }

        if ((answer.Room - ZpciClpListResponse.Length) % ZpciClpListEntry.Length != 0)
        {
            answer.Refuse(ZpciClpResponse.BadLength);
            return ZpciConditionCode.InvalidHandle;
        }

        int written = ZpciClpListResponse.Length;
        for (; at < functions.Count && written < answer.Room; at++)
        {
            if (functions[at].State != ZpciFunctionState.Reserved)
            {
                EntryOf(functions[at]).Write(answer.Bytes[written..]);
                written += ZpciClpListEntry.Length;
            }
        }

        new ZpciClpListResponse
        {
            Header = new ZpciClpHeader { BlockLength = (ushort)written, Code = (ushort)ZpciClpResponse.Ok },
            ResumeToken = at < functions.Count ? functions[at].Index : 0u,
            HypervisorMask = ZpciHandle.HypervisorMask,
            MaximumFunctions = ZpciLimits.MaximumFunctions,
            Flags = ZpciClpListResponse.UniqueIds,
            EntryLength = ZpciClpListEntry.Length,
        }.Write(answer.Bytes);
        answer.Written = written;
        return ZpciConditionCode.Done;
    }

    /// <summary>Finds the function with which a list goes on; token 0 begins one.</summary>
    private static bool TryFindStart(IReadOnlyList<ZpciGuestFunction> functions, ulong resumeToken, out int at)
    {
        at = 0;
        if (resumeToken == 0)
        {
            return true;
        }

        while (at < functions.Count && functions[at].Index != resumeToken)
        {
            at++;
        }

        return at < functions.Count;
    }

    private static ZpciClpListEntry EntryOf(ZpciGuestFunction function) => new()
    {
        DeviceId = function.Device.DeviceId,
        VendorId = function.Device.VendorId,
        Configuration = function.IsConfigured ? ZpciClpListEntry.Configured : 0,
        FunctionId = function.FunctionId,
        Handle = function.Handle,
    };

    private ZpciConditionCode Query(in ZpciClpQueryRequest request, ref Answer answer)
    {
        if (bus.Find(request.Subject) is not { } function)
        {
            return answer.Refuse(ZpciClpResponse.InvalidHandle);
        }

        var found = new ZpciClpQueryFunctionResponse
        {
            Header = answer.Ok,
            Group = function.Group.Id,
            FunctionId = function.FunctionId,
            StartDma = function.StartDma,
            EndDma = function.EndDma,
            UserId = function.UserId,
        };
        function.Device.Describe(ref found);
        if (function.Device.Info is { } info)
        {
            // Measurement blocks of other formats and special function types are not for guests, who see 0 there.
            found.VirtualFunction = info.Base.VirtualFunction;
            found.PhysicalChannel = info.Base.PhysicalChannel;
            found.Path = info.Path.Length == sizeof(uint) ? BinaryPrimitives.ReadUInt32BigEndian(info.Path.Span) : 0;
            if (info.Util.Length != 0)
            {
                ZpciDescription util = default;
                info.Util.Span[..Math.Min(info.Util.Length, ZpciDescription.Count)].CopyTo(util);
                found.Util = util;
                found.Flags = ZpciClpQueryFunctionResponse.UtilValid;
            }
        }

        found.Write(answer.Bytes);
        answer.Written = ZpciClpQueryFunctionResponse.Length;
        return ZpciConditionCode.Done;
    }

    private ZpciConditionCode QueryGroup(in ZpciClpQueryRequest request, ref Answer answer)
    {
        if (bus.FindGroup((byte)(request.Subject & ZpciClpQueryRequest.GroupMask)) is not { } group)
        {
            return answer.Refuse(ZpciClpResponse.UnknownGroup);
        }

        ZpciClpQueryGroupResponse found = group.Answer;
        found.Header = answer.Ok;
        found.Write(answer.Bytes);
        answer.Written = ZpciClpQueryGroupResponse.Length;
        return ZpciConditionCode.Done;
    }

    private ZpciConditionCode Set(in ZpciClpSetRequest request, ref Answer answer)
    {
        if (bus.Find(request.Handle) is not { } function)
        {
            return answer.Refuse(ZpciClpResponse.InvalidHandle);
        }

        ZpciClpResponse response = request.Operation switch
        {
            ZpciSetOperation.Enable => request.DmaSpaces switch
            {
                0 => ZpciClpResponse.BadDmaSpaceCount,
                1 => function.Enable(),
                _ => ZpciClpResponse.InsufficientResources,
            },
            ZpciSetOperation.Disable => function.Disable(),
            _ => ZpciClpResponse.HandleNotValidForOperation,
        };
        if (response != ZpciClpResponse.Ok)
        {
            return answer.Refuse(response);
        }

        new ZpciClpSetResponse { Header = answer.Ok, Handle = function.Handle }.Write(answer.Bytes);
        answer.Written = ZpciClpSetResponse.Length;
        return ZpciConditionCode.Done;
    }

    /// <summary>The answer as it grows.</summary>
    private ref struct Answer(Span<byte> bytes, ushort room)
    {
        public Span<byte> Bytes { get; } = bytes;

        /// <summary>How long the guest lets it be.</summary>
        public ushort Room { get; } = room;

        public int Written { get; set; }

        /// <summary>The head of an answer that keeps its length.</summary>
        public readonly ZpciClpHeader Ok => new() { BlockLength = Room, Code = (ushort)ZpciClpResponse.Ok };

        /// <summary>Answers with a code alone; the condition code is done all the same.</summary>
        public ZpciConditionCode Refuse(ZpciClpResponse response)
        {
            BinaryPrimitives.WriteUInt16BigEndian(Bytes, Room);
            BinaryPrimitives.WriteUInt16BigEndian(Bytes[sizeof(ushort)..], (ushort)response);
            Written = 2 * sizeof(ushort);
            return ZpciConditionCode.Done;
        }
    }
}
