using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>A zPCI instruction taken apart (formats RRE and RRF, RXY and RSY).</summary>
/// <param name="Opcode">Which one.</param>
/// <param name="R1">First register.</param>
/// <param name="R2">Second register: R2 of RRE and RRF, R3 of RSY, the index X2 of RXY.</param>
/// <param name="Base">Base register of the operand (RXY, RSY); 0 stands for none.</param>
/// <param name="Displacement">Displacement of the operand (RXY, RSY): 20 bits with a sign.</param>
public readonly record struct ZpciInstruction(ZpciOpcode Opcode, byte R1, byte R2, byte Base, int Displacement)
{
    /// <summary>Bytes of the longest instruction.</summary>
    public const int MaximumLength = 6;

    private const byte RreOpcode = 0xb9;
    private const byte RxyOpcode = 0xe3;
    private const byte RsyOpcode = 0xeb;
    private const int RreLength = 4;

    /// <summary>Bytes of this instruction.</summary>
    public int Length => HasOperand ? MaximumLength : RreLength;

    /// <summary>Whether it has an operand in memory at base, index (RXY) and displacement.</summary>
    public bool HasOperand => ((ushort)Opcode >> 8) is RxyOpcode or RsyOpcode;

    /// <summary>Whether <see cref="R2"/> is an index that belongs to the operand's address; 0 stands for none.</summary>
    public bool HasIndex => ((ushort)Opcode >> 8) == RxyOpcode;

    /// <summary>Takes an instruction apart.</summary>
    /// <param name="code">Its bytes; more may follow.</param>
    /// <param name="instruction">The instruction.</param>
    /// <returns>Whether it is one of zPCI's.</returns>
    public static bool TryDecode(ReadOnlySpan<byte> code, out ZpciInstruction instruction)
    {
        instruction = default;
        if (code.Length < RreLength)
        {
            return false;
        }

        if (code[0] == RreOpcode)
        {
            var opcode = (ZpciOpcode)BinaryPrimitives.ReadUInt16BigEndian(code);
            instruction = new ZpciInstruction(opcode, (byte)(code[3] >> 4), (byte)(code[3] & 0xf), 0, 0);
        }
        else if (code[0] is RxyOpcode or RsyOpcode && code.Length >= MaximumLength)
        {
            var opcode = (ZpciOpcode)((code[0] << 8) | code[5]);
            int displacement = ((sbyte)code[4] << 12) | ((code[2] & 0xf) << 8) | code[3];
            instruction = new ZpciInstruction(opcode, (byte)(code[1] >> 4), (byte)(code[1] & 0xf), (byte)(code[2] >> 4), displacement);
        }

        return instruction.Opcode != ZpciOpcode.None && Enum.IsDefined(instruction.Opcode);
    }
}
